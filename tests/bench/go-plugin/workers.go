// What both ways carry, and net/rpc. The other one is in grpc.go.
package main

import (
	"bytes"
	"net/rpc"

	"github.com/hashicorp/go-plugin"
)

const running = 1

// What the client calls, however it is carried.
type workers interface {
	status(handles []string) ([]byte, error)
}

// The plugin itself: each worker that it is asked for runs.
func status(handles []string) []byte {
	return bytes.Repeat([]byte{running}, len(handles))
}

// Hands out both ends of both ways.
type workersPlugin struct{}

func (*workersPlugin) Server(*plugin.MuxBroker) (interface{}, error) {
	return new(RPCServer), nil
}

func (*workersPlugin) Client(_ *plugin.MuxBroker, client *rpc.Client) (interface{}, error) {
	return &rpcClient{client}, nil
}

// RPCServer has the methods that net/rpc finds by their names.
type RPCServer struct{}

// Status answers with one value a handle.
func (*RPCServer) Status(handles []string, values *[]byte) error {
	*values = status(handles)
	return nil
}

type rpcClient struct {
	client *rpc.Client
}

func (client *rpcClient) status(handles []string) (values []byte, err error) {
	err = client.client.Call("Plugin.Status", handles, &values)
	return values, err
}
