package kafkacontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// ownerLabel says which process started a container.
const ownerLabel = "messageproxy.test.pid"

// removeOrphans removes the containers of test processes that were killed. Where
// Testcontainers' reaper runs, that is its work.
func removeOrphans(ctx context.Context, docker *testcontainers.DockerClient) error {
	containers, err := docker.ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: make(client.Filters).Add("label", ownerLabel),
	})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, container := range containers.Items {
		pid, err := strconv.Atoi(container.Labels[ownerLabel])
		if err != nil || isAlive(pid) {
			continue
		}
		// Another process may be removing it too.
		_, _ = docker.ContainerRemove(ctx, container.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	return nil
}

func isAlive(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	return !errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
