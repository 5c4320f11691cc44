// Read events through a consumer group, and print and acknowledge each:
//
//	go run ./events GROUP CONSUMER
//
// REDIS_URL says where Redis listens.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/gomodule/redigo/redis"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Print("usage: go run ./events GROUP CONSUMER")
		os.Exit(2)
	}
	url := os.Getenv("REDIS_URL")
	if url == "" {
		url = "redis://127.0.0.1:6379"
	}
	log.Fatal(follow(url, os.Args[1], os.Args[2]))
}

func follow(url, group, consumer string) error {
	conn, err := redis.DialURL(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do("XGROUP", "CREATE", "events", group, "0", "MKSTREAM")
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") { // the group may exist already
		return err
	}
	// First the entries that this consumer has read and not acknowledged, then new ones.
	for id := "0"; ; {
		reply, err := redis.Values(conn.Do("XREADGROUP", "GROUP", group, consumer, "COUNT", 100, "BLOCK", 1000,
			"STREAMS", "events", id))
		if errors.Is(err, redis.ErrNil) {
			continue // nothing came within the second
		}
		if err != nil {
			return err
		}
		stream, err := redis.Values(reply[0], nil) // its name, its entries
		if err != nil {
			return err
		}
		entries, err := redis.Values(stream[1], nil)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := acknowledge(conn, group, entry); err != nil {
				return err
			}
		}
		if len(entries) == 0 {
			id = ">"
		}
	}
}

// Print an event and acknowledge it.
func acknowledge(conn redis.Conn, group string, entry interface{}) error {
	parts, err := redis.Values(entry, nil)
	if err != nil {
		return err
	}
	id, err := redis.String(parts[0], nil)
	if err != nil {
		return err
	}
	event, err := redis.StringMap(parts[1], nil)
	if err != nil {
		return err
	}
	fmt.Println(event["kind"], event["series"], event["detail"])
	_, err = conn.Do("XACK", "events", group, id)
	return err
}
