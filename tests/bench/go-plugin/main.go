// The peer of the isolation benchmark: a plugin of hashicorp/go-plugin that does what the benchmark's own plugin does, and a
// client that measures it. One program is both: the client starts itself as the plugin.
//
// The client is told on its standard input what to measure, one JSON document a line, and answers each with one.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// The names of the two ways in which go-plugin carries a call: this program's arguments.
const (
	netRPC = "net/rpc"
	gRPC   = "grpc"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "LONGSHORE_BENCH",
	MagicCookieValue: "isolation",
}

var plugins = plugin.PluginSet{"workers": &workersPlugin{}}

// Told once, when the plugin is there.
type started struct {
	Process int `json:"process"`
	// From before the process is started until its first call has been answered.
	Nanos int64 `json:"nanos"`
}

type order struct {
	Handles []string `json:"handles"`
	Calls   int      `json:"calls"`
}

type measured struct {
	// What each call took.
	Nanos []int64 `json:"nanos"`
}

func main() {
	err := fmt.Errorf("usage: %s serve|measure %s|%s", os.Args[0], netRPC, gRPC)
	if len(os.Args) == 3 && (os.Args[2] == netRPC || os.Args[2] == gRPC) {
		switch os.Args[1] {
		case "serve":
			serve(os.Args[2])
			return
		case "measure":
			err = measure(os.Args[2])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(wire string) {
	config := &plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins}
	if wire == gRPC {
		config.GRPCServer = server
	}
	plugin.Serve(config)
}

func measure(wire string) error {
	protocol := plugin.ProtocolNetRPC
	if wire == gRPC {
		protocol = plugin.ProtocolGRPC
	}
	command := exec.Command(os.Args[0], "serve", wire)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins,
		Cmd:              command,
		AllowedProtocols: []plugin.Protocol{protocol},
		Logger:           hclog.NewNullLogger(),
	})
	defer client.Kill()

	begun := time.Now()
	connection, err := client.Client()
	if err != nil {
		return err
	}
	dispensed, err := connection.Dispense("workers")
	if err != nil {
		return err
	}
	workers := dispensed.(workers)
	if _, err := workers.status([]string{"nobody"}); err != nil {
		return err
	}
	answers := json.NewEncoder(os.Stdout)
	if err := answers.Encode(started{command.Process.Pid, time.Since(begun).Nanoseconds()}); err != nil {
		return err
	}

	orders := json.NewDecoder(os.Stdin)
	for {
		var order order
		if err := orders.Decode(&order); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		times := make([]int64, order.Calls)
		for call := range times {
			begun := time.Now()
			values, err := workers.status(order.Handles)
			times[call] = time.Since(begun).Nanoseconds()
			if err != nil {
				return err
			}
			if len(values) != len(order.Handles) || values[0] != running {
				return fmt.Errorf("asked for %d handles, it answered for %d", len(order.Handles), len(values))
			}
		}
		if err := answers.Encode(measured{times}); err != nil {
			return err
		}
	}
}
