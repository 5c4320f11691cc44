"""Whether Redis answers at all; if not, nothing else can be asked of it."""

from redis.exceptions import AuthenticationError, BusyLoadingError, MovedError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.connection import explain
from tidecast.doctor.finding import Finding

TLS_WORDS = ("SSL", "CERTIFICATE", "certificate", "[X509")
CLOSED_WORDS = ("Connection closed", "Connection reset", "Error while reading")  # as of TLS that was spoken to plainly


def unreached(exc: RedisError, url: str) -> Finding:
    """What a first command's failure means."""
    text = str(exc)
    if isinstance(exc, BusyLoadingError):
        return Finding(
            "loading", "wrong", "Redis is still loading its data", "wait; INFO persistence says how far it is"
        )
    if isinstance(exc, AuthenticationError):
        found = f"Redis refuses the user or password: {text}"
        return Finding("password", "wrong", found, "correct the user and the password in redis_url")
    if isinstance(exc, MovedError):
        return Finding("redis", "wrong", explain(exc), "set redis_cluster = true, and partitions to 2 or more")
    silent = isinstance(exc, RedisTimeoutError) and url.startswith("rediss://")  # Redis waits for the rest of a command
    if silent or any(word in text for word in TLS_WORDS):
        return Finding("tls", "wrong", f"no TLS with Redis: {text}", _tls_remedy(text))
    if any(word in text for word in CLOSED_WORDS) and not url.startswith("rediss://"):
        remedy = "if it speaks TLS on this port, begin redis_url with rediss://; else look into its log"
        return Finding("tls", "wrong", f"Redis ends the connection: {text}", remedy)
    found = explain(exc)
    return Finding("redis", "wrong", f"Redis does not answer: {found}", "start it, or name another in redis_url")


def _tls_remedy(text: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in text or "[X509" in text:
        return "name the authority that signed Redis' certificate in redis_ca, and the host in redis_url as it does"
    return "if Redis speaks no TLS on this port, begin redis_url with redis://; if it asks for a certificate, name one"
