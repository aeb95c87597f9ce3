package main

import (
	"bytes"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func startDev(t *testing.T, args ...string) *process {
	return startProcess(t, append([]string{"dev", "--listen=127.0.0.1:0"}, args...)...)
}

func TestDevServesAndDrainsOnSIGTERM(t *testing.T) {
	p := startDev(t)
	kafka := p.waitLog("embedded Kafka started")
	listening := p.waitLog("listening")
	conn := dial(t, listening)

	producing := produce(t, conn, 100)
	consuming := subscribe(t, conn)
	ids := receive(t, consuming, 0, 100)
	ack(t, consuming, ids[:50]...)
	tool, err := net.Dial("tcp", kafka["kafka"].(string))
	require.NoError(t, err, "Kafka's own tools can look there")
	require.NoError(t, tool.Close())

	p.signal(syscall.SIGTERM)

	end := terminalError(t, producing, (*messageproxyv1.ProduceResponse).GetTerminalError)
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, end.GetCode())
	for {
		response, err := consuming.Recv()
		require.NoError(t, err)
		if response.GetNotice().GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN {
			break
		}
	}
	ack(t, consuming, ids[50:]...)
	end = terminalError(t, consuming, (*messageproxyv1.ConsumeResponse).GetTerminalError)
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, end.GetCode())
	require.Equal(t, true, p.waitLog("drained")["complete"])
	require.Zero(t, p.exitCode())
	require.Contains(t, p.stdout.String(), listening["addr"])
	require.Contains(t, p.stdout.String(), kafka["kafka"])
	require.Contains(t, p.stdout.String(), "nothing is kept")
}

func TestASecondSignalStopsAtOnce(t *testing.T) {
	p := startDev(t, "--drain-timeout=10m")
	conn := dial(t, p.waitLog("listening"))
	produce(t, conn, 1)
	consuming := subscribe(t, conn)
	receive(t, consuming, 0, 1) // and no ACK, so the drain takes its time

	p.signal(syscall.SIGINT)
	p.waitLog("draining")
	p.signal(syscall.SIGTERM)

	p.waitLog("stopped at once: what was under way is cut off")
	require.Equal(t, exitFailure, p.exitCode())
}

func TestDevKeepsItsDataInADataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := startDev(t, "--data-dir", dir)
	conn := dial(t, p.waitLog("listening"))
	produce(t, conn, 10)
	consuming := subscribe(t, conn)
	ids := receive(t, consuming, 0, 10)
	ack(t, consuming, ids[:4]...)

	second := startDev(t, "--data-dir", dir)
	require.Equal(t, exitFailure, second.exitCode())
	require.Contains(t, second.logText(), dir, "it is in use")

	require.NoError(t, consuming.CloseSend()) // what is not ACKed is given up
	_, err := consuming.Recv()
	for err == nil {
		_, err = consuming.Recv()
	}
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.exitCode())
	require.Contains(t, p.stdout.String(), "kept in "+dir)

	again := startDev(t, "--data-dir", dir)
	consuming = subscribe(t, dial(t, again.waitLog("listening")))
	ack(t, consuming, receive(t, consuming, 4, 6)...)
	require.NoError(t, consuming.CloseSend())
	again.signal(syscall.SIGTERM)
	require.Zero(t, again.exitCode())
}

func TestDevTakesLargeMessagesBothWays(t *testing.T) {
	p := startDev(t)
	conn := dial(t, p.waitLog("listening"))
	client := messageproxyv1.NewMessageProxyClient(conn)
	large := bytes.Repeat([]byte("0123456789abcdef"), 15<<20/16)
	producing, err := client.Produce(inTime(t))
	require.NoError(t, err)
	require.NoError(t, producing.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
		{Sequence: 1, Topic: "orders", Value: make([]byte, 16<<20+1)},
		{Sequence: 2, Topic: "orders", Value: large},
	}}))
	results := make(map[uint64]*messageproxyv1.ProduceResult)
	for len(results) < 2 {
		response, err := producing.Recv()
		require.NoError(t, err)
		for _, r := range response.GetResults() {
			results[r.GetSequence()] = r
		}
	}
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE, results[1].GetError().GetCode())
	require.NotNil(t, results[2].GetReceipt(), "%v", results[2].GetError())

	consuming := subscribe(t, conn, grpc.MaxCallRecvMsgSize(1<<30))
	for {
		response, err := consuming.Recv()
		require.NoError(t, err)
		if batch := response.GetBatch(); batch != nil {
			got := batch.GetPartitions()[0].GetMessages()
			require.Len(t, got, 1)
			require.True(t, bytes.Equal(large, got[0].GetValue()))
			ack(t, consuming, got[0].GetId())
			break
		}
	}
	require.NoError(t, consuming.CloseSend())
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.exitCode())
}

func TestServeWaitsForAKafkaThatCannotBeReached(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := nobody.Addr().String()
	require.NoError(t, nobody.Close())

	p := startProcess(t, "serve", "--listen=127.0.0.1:0", "--kafka-brokers="+addr)
	health := healthpb.NewHealthClient(dial(t, p.waitLog("listening")))
	for range 2 {
		p.waitLog("the broker can't be reached; trying again")
		answer, err := health.Check(inTime(t), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, answer.GetStatus())
	}
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.exitCode())
}

func TestHealthOfDevIsServing(t *testing.T) {
	p := startDev(t)
	watch, err := healthpb.NewHealthClient(dial(t, p.waitLog("listening"))).Watch(inTime(t),
		&healthpb.HealthCheckRequest{Service: "messageproxy.v1.MessageProxy"})
	require.NoError(t, err)
	for status := healthpb.HealthCheckResponse_UNKNOWN; status != healthpb.HealthCheckResponse_SERVING; {
		answer, err := watch.Recv()
		require.NoError(t, err)
		status = answer.GetStatus()
	}
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.exitCode())
}
