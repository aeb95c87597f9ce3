package kafkaimage

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// javaModules are the modules of the Java runtime that Kafka and its libraries
// use; its jars don't declare them.
var javaModules = []string{
	"java.base", "java.desktop", "java.logging", "java.management", "java.management.rmi",
	"java.naming", "java.net.http", "java.scripting", "java.security.jgss", "java.security.sasl",
	"java.sql", "java.xml", "jdk.crypto.ec", "jdk.management", "jdk.security.auth",
	"jdk.unsupported", "jdk.zipfs",
}

// nativeJava matches the native parts of the Java runtime that a server without
// a screen loads, as paths below the runtime.
var nativeJava = regexp.MustCompile(`^(bin/java|lib/server/libjvm\.so|lib/lib(extnet|jaas|java|jimage|jli|management|management_ext|net|nio|prefs|rmi|verify|zip)\.so)$`)

// build makes the image: a directory tree with the program that starts Kafka, a
// Java runtime, the shared libraries that it needs, and Kafka's jars, handed to
// Docker as it is.
func build(ctx context.Context, name string) (err error) {
	jlink, err := findTools()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kafkaimage-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	root := filepath.Join(dir, "root")
	for _, part := range []string{"kafka", "data", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, part), 0o777); err != nil {
			return err
		}
	}
	if err := copyJars(ctx, dir, filepath.Join(root, "kafka", "libs")); err != nil {
		return fmt.Errorf("copy Kafka's jars with Maven: %w", err)
	}
	java := filepath.Join(root, "java")
	if err := run(ctx, jlink, "--add-modules", strings.Join(javaModules, ","),
		"--strip-java-debug-attributes", "--no-header-files", "--no-man-pages", "--output", java); err != nil {
		return fmt.Errorf("make a Java runtime: %w", err)
	}
	if err := copySharedLibraries(ctx, java, root); err != nil {
		return fmt.Errorf("copy the shared libraries of Java: %w", err)
	}
	if err := compileEntrypoint(ctx, dir, filepath.Join(root, "entrypoint")); err != nil {
		return fmt.Errorf("compile the image's entry point: %w", err)
	}
	if err := importImage(ctx, root, name); err != nil {
		return fmt.Errorf("hand the image to Docker: %w", err)
	}
	return nil
}

// findTools returns the path of jlink, or an error that names all that is
// missing.
func findTools() (jlink string, err error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("a Kafka image can be built on Linux only (this is %s): let Docker pull %s", runtime.GOOS, Upstream)
	}
	var missing []string
	jlink, err = exec.LookPath(filepath.Join(os.Getenv("JAVA_HOME"), "bin", "jlink"))
	if os.Getenv("JAVA_HOME") == "" || err != nil {
		if jlink, err = exec.LookPath("jlink"); err != nil {
			missing = append(missing, "a JDK, 17 or newer (openjdk-17-jdk-headless)")
		}
	}
	for name, pkg := range map[string]string{"mvn": "Maven (maven)", "ldd": "ldd (libc-bin)"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return "", fmt.Errorf("to build a Kafka image, install %s; as root on Debian or Ubuntu, `make setup` does it",
			strings.Join(missing, " and "))
	}
	return jlink, nil
}

func copyJars(ctx context.Context, dir, libs string) error {
	pom := filepath.Join(dir, "pom.xml")
	if err := writeRecipe("pom.xml", pom); err != nil {
		return err
	}
	return run(ctx, "mvn", "-q", "-B", "-Dstyle.color=never", "-f", pom, "-Dkafka.version="+kafkaVersion,
		"-DoutputDirectory="+libs, "-DincludeScope=runtime", "dependency:copy-dependencies")
}

// copySharedLibraries copies to root what the native parts of Java, and the
// compression libraries in Kafka's jars, are linked with.
func copySharedLibraries(ctx context.Context, java, root string) error {
	libraries := map[string]bool{}
	err := filepath.WalkDir(java, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if relative, _ := filepath.Rel(java, path); !nativeJava.MatchString(relative) {
			return nil
		}
		linked, err := output(command(ctx, "ldd", path))
		for _, library := range regexp.MustCompile(`/\S+`).FindAllString(linked, -1) {
			libraries[library] = !strings.HasPrefix(library, java)
		}
		return err
	})
	if err != nil {
		return err
	}
	for library, wanted := range libraries {
		if !wanted {
			continue
		}
		if err := copyFile(library, filepath.Join(root, library)); err != nil {
			return err
		}
		// Older programs name libraries that are empty since glibc 2.34.
		for _, old := range []string{"libdl.so.2", "libpthread.so.0", "librt.so.1"} {
			old = filepath.Join(filepath.Dir(library), old)
			if err := copyFile(old, filepath.Join(root, old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}

func compileEntrypoint(ctx context.Context, dir, program string) error {
	source := filepath.Join(dir, "main.go")
	if err := writeRecipe("entrypoint/main.go", source); err != nil {
		return err
	}
	cmd := command(ctx, "go", "build", "-trimpath", "-o", program, source)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	_, err := output(cmd)
	return err
}

func writeRecipe(name, path string) error {
	content, err := recipe.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// importImage makes an image of one layer, without a builder.
func importImage(ctx context.Context, root, name string) error {
	read, write := io.Pipe()
	go func() {
		archive := tar.NewWriter(write)
		err := archive.AddFS(os.DirFS(root))
		write.CloseWithError(errors.Join(err, archive.Close()))
	}()
	cmd := command(ctx, "docker", "import",
		"--change", `ENTRYPOINT ["/entrypoint"]`,
		"--change", "EXPOSE 9092",
		"--message", "Kafka "+kafkaVersion+" for the tests of messageproxy",
		"-", name)
	cmd.Stdin = read
	_, err := output(cmd)
	return errors.Join(err, read.Close())
}
