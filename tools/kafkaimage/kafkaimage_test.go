package kafkaimage

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissingDockerSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Ensure(t.Context(), func(line string) { t.Log(line) })
	require.ErrorContains(t, err, "install Docker")
	require.ErrorContains(t, err, "make setup")
}

func TestSilentDaemonSaysWhatToDo(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+t.TempDir()+"/absent.sock")
	_, err := Ensure(t.Context(), func(line string) { t.Log(line) })
	require.ErrorContains(t, err, "daemon doesn't answer")
	require.ErrorContains(t, err, "make setup")
}

func TestMissingToolsAreAllNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	_, err := findTools()
	require.ErrorContains(t, err, "JDK")
	require.ErrorContains(t, err, "Maven")
	require.ErrorContains(t, err, "ldd")
}
