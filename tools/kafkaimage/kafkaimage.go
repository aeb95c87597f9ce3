// Package kafkaimage makes sure that a Kafka image for tests exists on this
// machine's Docker: the Kafka project's own where it can be pulled, else one that
// it builds from the jars on Maven Central and a Java runtime cut to size.
//
// Both images take their settings from KAFKA_ variables of the environment, by
// the same rules, so whoever starts one need not know which it is.
package kafkaimage

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	kafkaVersion = "4.1.1"

	// Upstream is the Kafka project's own image.
	Upstream = "apache/kafka:" + kafkaVersion

	builtRepository = "messageproxy/kafka"

	// A registry that can't be reached may say so only after a long silence.
	pullTimeout = 5 * time.Minute
)

// recipe is everything that decides what is in a built image; its hash is part of
// the image's tag, so that a changed recipe is built anew.
//
//go:embed pom.xml build.go entrypoint/main.go
var recipe embed.FS

// Image is an image that Docker has.
type Image struct {
	// Name is the image's name with its tag.
	Name string
	// Built says that the image was built here because none could be pulled. Then
	// no other image can be pulled either, such as Testcontainers' reaper.
	Built bool
}

// Ensure returns an image that Docker has, and pulls or builds it if need be. It
// is quick when the image is there. progress gets a line about each step that
// takes long. The error says what to install or start.
func Ensure(ctx context.Context, progress func(line string)) (Image, error) {
	if err := checkDocker(ctx); err != nil {
		return Image{}, err
	}
	built, err := builtName()
	if err != nil {
		return Image{}, err
	}
	for _, image := range []Image{{Name: Upstream}, {Name: built, Built: true}} {
		if exists(ctx, image.Name) {
			return image, nil
		}
	}
	progress("pulling " + Upstream)
	pullErr := pull(ctx)
	if pullErr == nil {
		return Image{Name: Upstream}, nil
	}
	if ctx.Err() != nil {
		return Image{}, ctx.Err()
	}
	progress(pullErr.Error())
	progress("building " + built + " instead")
	if err := build(ctx, built); err != nil {
		return Image{}, fmt.Errorf("no Kafka image: %w; %w", pullErr, err)
	}
	return Image{Name: built, Built: true}, nil
}

// builtName names the image that this recipe makes.
func builtName() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(recipe, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := recipe.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the recipe of the Kafka image: %w", err)
	}
	return fmt.Sprintf("%s:%s-%s", builtRepository, kafkaVersion, hex.EncodeToString(hash.Sum(nil))[:12]), nil
}

func checkDocker(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("tests with a real Kafka need Docker, and there is no docker command: " +
			"install Docker (as root on Debian or Ubuntu, `make setup` does it)")
	}
	if err := run(ctx, "docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // docker was ended, whatever it would have said
		}
		return fmt.Errorf("tests with a real Kafka need Docker, and its daemon doesn't answer: "+
			"start it (as root on Debian or Ubuntu, `make setup` does it): %w", err)
	}
	return nil
}

func exists(ctx context.Context, image string) bool {
	return run(ctx, "docker", "image", "inspect", image) == nil
}

func pull(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	return run(ctx, "docker", "pull", "--quiet", Upstream)
}

// run runs a command until it ends or ctx does. Its error ends with what the
// command said last.
func run(ctx context.Context, name string, args ...string) error {
	_, err := output(command(ctx, name, args...))
	return err
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// output runs cmd and returns its standard output.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stdout.String() + stderr.String())
		const enough = 2000
		if len(said) > enough {
			said = "…" + said[len(said)-enough:]
		}
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said)
	}
	return stdout.String(), nil
}
