package release

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	repository  = "github.com/messageproxy/messageproxy"
	testVersion = "v0.0.1-rc.99999"
)

// TestApplicationsCanUseARelease releases the repository as it is on disk to a
// module proxy of files, and then does in empty folders what a user does: installs
// the server, and builds an application with the SDK. `go install` refuses replace
// lines, so none can have survived.
func TestApplicationsCanUseARelease(t *testing.T) {
	published := publish(t, snapshot(t))
	env := userEnvironment(t, published)

	t.Run("go.sum of every module is complete", func(t *testing.T) {
		for _, module := range published.modules {
			goCommand(t, filepath.Join(published.checkout, module), env, "list", "-mod=readonly", "-deps", "-test", "./...")
		}
	})
	t.Run("the packages of other languages have the version", func(t *testing.T) {
		for _, place := range places {
			content, err := os.ReadFile(filepath.Join(published.checkout, filepath.FromSlash(place.file)))
			require.NoError(t, err)
			version, err := place.version(testVersion)
			require.NoError(t, err)
			assert.Contains(t, string(content), version, place.file)
		}
	})
	t.Run("the server can be installed", func(t *testing.T) {
		bin := t.TempDir()
		goCommand(t, t.TempDir(), append(env, "GOBIN="+bin), "install", repository+"/server/cmd/messageproxy@"+testVersion)
		said, err := output(exec.CommandContext(t.Context(), filepath.Join(bin, "messageproxy"), "version"))
		require.NoError(t, err)
		assert.Contains(t, said, testVersion)
	})
	t.Run("an application can use the SDK", func(t *testing.T) {
		dir := t.TempDir()
		goCommand(t, dir, env, "mod", "init", "example.com/application")
		goCommand(t, dir, env, "get", repository+"/sdk/go@"+testVersion)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(application), 0o644))
		goCommand(t, dir, env, "build", "-o", "application", ".")
		said, err := output(exec.CommandContext(t.Context(), filepath.Join(dir, "application")))
		require.NoError(t, err)
		assert.Equal(t, "it works\n", said)
	})
}

const application = `package main

import (
	"fmt"

	messageproxy "` + repository + `/sdk/go"
)

func main() {
	client, err := messageproxy.NewClient("127.0.0.1:7070")
	if err != nil {
		panic(err)
	}
	if err := client.Close(); err != nil {
		panic(err)
	}
	fmt.Println("it works")
}
`

// snapshot copies the repository's files, committed or not, to a repository of
// their own.
func snapshot(t *testing.T) string {
	t.Helper()
	from, err := git(t.Context(), ".", "rev-parse", "--show-toplevel")
	require.NoError(t, err)
	from = strings.TrimSpace(from)
	names, err := git(t.Context(), from, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	require.NoError(t, err)
	to := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not yet committed so
		}
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(to, name), content, 0o644))
	}
	commitAll(t, to)
	return to
}

// publication is a release in a module proxy of files.
type publication struct {
	proxy    string   // the proxy's folder
	checkout string   // the release's commit
	modules  []string // the modules' folders
}

// publish releases the repository at root, and has the go command make the files
// of a module proxy from its tags, as a proxy does.
func publish(t *testing.T, root string) publication {
	t.Helper()
	plan, err := Prepare(t.Context(), root, "HEAD", testVersion)
	require.NoError(t, err)
	require.NoError(t, plan.Tag(t.Context()))

	cache := t.TempDir()
	env := append(os.Environ(), "GOWORK=off", "GOFLAGS=-modcacherw", "GOPROXY=direct", "GOSUMDB=off", "GOMODCACHE="+cache,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+root+".insteadOf", "GIT_CONFIG_VALUE_0=https://"+repository)
	published := publication{proxy: filepath.Join(cache, "cache", "download"), checkout: filepath.Join(t.TempDir(), "release")}
	_, err = git(t.Context(), root, "worktree", "add", "--quiet", "--detach", published.checkout, plan.Commit)
	require.NoError(t, err)
	for _, tag := range plan.Tags {
		dir := strings.TrimSuffix(tag, "/"+testVersion)
		published.modules = append(published.modules, dir)
		goCommand(t, t.TempDir(), env, "mod", "download", repository+"/"+dir+"@"+testVersion)
	}
	return published
}

// userEnvironment is that of somebody who gets this project's modules from the
// published files, and all others from this machine's module cache or, if they are
// not there, from wherever this machine gets them.
func userEnvironment(t *testing.T, published publication) []string {
	t.Helper()
	said := goCommand(t, ".", os.Environ(), "env", "-json", "GOMODCACHE", "GOPROXY")
	var settings struct{ GOMODCACHE, GOPROXY string }
	require.NoError(t, json.Unmarshal([]byte(said), &settings))
	proxies := []string{
		"file://" + published.proxy,
		"file://" + filepath.Join(settings.GOMODCACHE, "cache", "download"),
		settings.GOPROXY,
	}
	return append(os.Environ(), "GOWORK=off", "GOFLAGS=-modcacherw -trimpath", "GOSUMDB=off",
		"GOMODCACHE="+t.TempDir(), "GOPROXY="+strings.Join(proxies, ","))
}

func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, env
	said, err := output(cmd)
	require.NoError(t, err)
	return said
}
