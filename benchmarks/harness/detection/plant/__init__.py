"""A scripted plant: sensors with faults at known times, answered by a real worker on a virtual clock."""
