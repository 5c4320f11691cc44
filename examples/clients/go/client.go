// Push readings of one series, each when the one before it is answered, and print the forecasts:
//
//	go run . boiler-7 42.1 42.3 42.2
//
// REDIS_URL says where Redis listens.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A worker's first start on a machine may take longer than the hint: then the client says what it waits for.
const (
	hint     = 10 * time.Second
	patience = 5 * time.Minute
)

// A worker sets all other values aside, as a dead letter.
var number = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Print("usage: go run . SERIES VALUE...")
		os.Exit(2)
	}
	for _, value := range os.Args[2:] {
		if !number.MatchString(value) {
			log.Printf("the value %q is not a decimal number: write one such as 42.1", value)
			os.Exit(2)
		}
	}
	url := os.Getenv("REDIS_URL")
	if url == "" {
		url = "redis://127.0.0.1:6379"
	}
	if err := run(url, os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(url, series string, values []string) error {
	conn, err := redis.DialURL(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	last, err := newest(conn)
	if err != nil {
		return err
	}
	var ts int64
	for _, value := range values {
		// A series' time is answered once: two readings of one millisecond would be a duplicate.
		if now := time.Now().UnixMilli(); now > ts {
			ts = now
		} else {
			ts++
		}
		id, err := redis.String(conn.Do("XADD", "readings", "*", "series", series, "value", value, "ts", ts))
		if err != nil {
			return err
		}
		forecast, err := forecastOf(conn, id, last)
		if err != nil {
			return err
		}
		last = id
		fmt.Println(id, series, "y", forecast["y"], "yhat", forecast["yhat"], forecast["kind"])
	}
	return nil
}

// The id of the newest forecast, after which those of our readings come.
func newest(conn redis.Conn) (string, error) {
	entries, err := redis.Values(conn.Do("XREVRANGE", "forecasts", "+", "-", "COUNT", 1))
	if err != nil || len(entries) == 0 {
		return "0-0", err
	}
	id, _, err := entryOf(entries[0])
	return id, err
}

// A forecast bears the id of the reading that caused it: wait for just that entry.
func forecastOf(conn redis.Conn, id, last string) (map[string]string, error) {
	began, hinted := time.Now(), false
	for time.Since(began) < patience {
		if !hinted && time.Since(began) > hint {
			log.Printf("waiting for the forecast of %s: does a worker run? Its first start on a machine takes a while.", id)
			hinted = true
		}
		reply, err := redis.Values(conn.Do("XREAD", "COUNT", 100, "BLOCK", 1000, "STREAMS", "forecasts", last))
		if errors.Is(err, redis.ErrNil) {
			continue // nothing came within the second
		}
		if err != nil {
			return nil, err
		}
		stream, err := redis.Values(reply[0], nil) // its name, its entries
		if err != nil {
			return nil, err
		}
		entries, err := redis.Values(stream[1], nil)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			found, fields, err := entryOf(entry)
			if err != nil || found == id || fields["id"] == id { // merged forecasts have the field id
				return fields, err
			}
			last = found
		}
	}
	return nil, fmt.Errorf("%s was not answered within %v: does a worker run, and does the stream dead say why?", id, patience)
}

func entryOf(entry interface{}) (string, map[string]string, error) {
	parts, err := redis.Values(entry, nil)
	if err != nil {
		return "", nil, err
	}
	id, err := redis.String(parts[0], nil)
	if err != nil {
		return "", nil, err
	}
	fields, err := redis.StringMap(parts[1], nil)
	return id, fields, err
}
