// The same over gRPC. The service and its messages are written by hand as protoc would write them, so that no generator is
// needed: message Handles { repeated string handles = 1; } message Values { bytes values = 1; }
package main

import (
	"context"

	"github.com/golang/protobuf/proto"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// The largest message: gRPC takes no more than 4 MB unless it is told to.
const messageLimit = 64 << 20

const (
	serviceName  = "longshore.Workers"
	statusMethod = "/" + serviceName + "/Status"
)

type handlesMessage struct {
	Handles []string `protobuf:"bytes,1,rep,name=handles,proto3"`
}

func (message *handlesMessage) Reset()         { *message = handlesMessage{} }
func (message *handlesMessage) String() string { return proto.CompactTextString(message) }
func (*handlesMessage) ProtoMessage()          {}

type valuesMessage struct {
	Values []byte `protobuf:"bytes,1,opt,name=values,proto3"`
}

func (message *valuesMessage) Reset()         { *message = valuesMessage{} }
func (message *valuesMessage) String() string { return proto.CompactTextString(message) }
func (*valuesMessage) ProtoMessage()          {}

func server(options []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(messageLimit))...)
}

func (*workersPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, struct{}{})
	return nil
}

func (*workersPlugin) GRPCClient(
	_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn,
) (interface{}, error) {
	return &grpcClient{connection}, nil
}

var service = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*interface{})(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Status", Handler: handleStatus}},
}

// Nobody intercepts its calls.
func handleStatus(
	_ interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor,
) (interface{}, error) {
	var request handlesMessage
	if err := decode(&request); err != nil {
		return nil, err
	}
	return &valuesMessage{status(request.Handles)}, nil
}

type grpcClient struct {
	connection *grpc.ClientConn
}

func (client *grpcClient) status(handles []string) ([]byte, error) {
	var reply valuesMessage
	err := client.connection.Invoke(context.Background(), statusMethod, &handlesMessage{handles}, &reply)
	return reply.Values, err
}
