package kafkacontainer

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"

	"github.com/messageproxy/messageproxy/tools/kafkaimage"
)

func TestOnlyContainersOfDeadProcessesAreRemoved(t *testing.T) {
	docker, err := testcontainers.NewDockerClientWithOpts(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = docker.Close() })
	dead := exec.Command("true")
	require.NoError(t, dead.Run())
	orphan := createContainer(t, docker, dead.Process.Pid)
	owned := createContainer(t, docker, os.Getpid())

	require.NoError(t, removeOrphans(t.Context(), docker))

	_, err = docker.ContainerInspect(t.Context(), orphan, client.ContainerInspectOptions{})
	require.ErrorIs(t, err, errdefs.ErrNotFound)
	_, err = docker.ContainerRemove(t.Context(), owned, client.ContainerRemoveOptions{})
	require.NoError(t, err, "it must still be there")
}

// createContainer creates a container that is never started.
func createContainer(t *testing.T, docker *testcontainers.DockerClient, owner int) string {
	t.Helper()
	image, err := kafkaimage.Ensure(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	created, err := docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{Image: image.Name, Labels: map[string]string{ownerLabel: strconv.Itoa(owner)}},
	})
	require.NoError(t, err)
	return created.ID
}
