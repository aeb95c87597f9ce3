package main

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"serve"}, {"dev"}, {"config"}, {"version"}} {
		name := "help"
		for _, a := range args {
			name += "-" + a
		}
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runHere(append(args, "--help"), nil)
			require.Zero(t, code)
			require.Empty(t, stderr)
			requireGolden(t, name+".txt", stdout)
		})
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"no brokers", []string{"serve"}, nil, exitUsage, "no Kafka brokers are set: give --kafka-brokers host:port"},
		{"unknown flag", []string{"serve", "--brokers=a:1"}, nil, exitUsage, `unknown flag: --brokers: see "messageproxy serve --help"`},
		{"an argument", []string{"dev", "now"}, nil, exitUsage, `"now" is not understood: see "messageproxy dev --help"`},
		{"unknown command", []string{"sevre"}, nil, exitUsage, `"sevre" is not understood`},
		{"a setting", []string{"config", "--ack-timeout=5"}, nil, exitUsage, "--ack-timeout=5: not a duration"},
		{"a variable", []string{"serve"}, []string{"MESSAGEPROXY_ACK=1"}, exitUsage, "MESSAGEPROXY_ACK: there is no such setting"},
		{"a file", []string{"serve", "--config=/nowhere/proxy.yaml"}, nil, exitUsage, "/nowhere/proxy.yaml"},
		{"a Kafka that can't listen there", []string{"dev", "--kafka-listen=0.0.0.0:0"}, nil, exitUsage, "--kafka-listen=0.0.0.0:0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := runHere(test.args, test.env)
			require.Equal(t, test.code, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, "messageproxy: ")
			require.Contains(t, stderr, test.want)
		})
	}
}

func TestAnAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	addr := taken.Addr().String()
	code, _, stderr := runHere([]string{"serve", "--kafka-brokers=127.0.0.1:1", "--listen", addr}, nil)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "can't listen on "+addr)
}

func TestConfigPrintsTheSettingsInForce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	require.NoError(t, os.WriteFile(file, []byte("kafka:\n  brokers: [a:1]\n"), 0o600))
	code, stdout, stderr := runHere([]string{"config", "--ack-timeout=5s", "--config", file}, []string{"MESSAGEPROXY_LISTEN=:1"})
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "  ack_timeout: 5s # --ack-timeout\n")
	require.Contains(t, stdout, "listen: :1 # MESSAGEPROXY_LISTEN\n")
	require.Contains(t, stdout, "  brokers: a:1 # "+file+"\n")
	require.Contains(t, stdout, "drain_timeout: 30s # default\n")
}

func TestVersion(t *testing.T) {
	code, stdout, _ := runHere([]string{"version"}, nil)
	require.Zero(t, code)
	require.Contains(t, stdout, "messageproxy ")
	require.Contains(t, stdout, runtime.Version())

	built := " " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	require.Equal(t, "messageproxy of an unknown version,"+built, versionLine(nil))
	require.Equal(t, "messageproxy (development build),"+built, versionLine(&debug.BuildInfo{}))
	require.Equal(t, "messageproxy v1.2.3, commit 0123456789ab with changes,"+built, versionLine(&debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
		},
	}))
}
