// Command entrypoint starts Kafka in the image that package kafkaimage builds.
//
// Settings come from the environment as in the Kafka project's own image:
// KAFKA_LOG_DIRS is log.dirs; two underscores stand for one, three for a dash.
// KAFKA_HEAP_OPTS and KAFKA_JVM_PERFORMANCE_OPTS go to Java, and CLUSTER_ID names
// the cluster. KAFKA_LOG_DIRS, one directory, is required.
package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	java       = "/java/bin/java"
	classPath  = "/kafka/libs/*"
	properties = "/tmp/server.properties"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "start Kafka:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := os.WriteFile(properties, []byte(settingsFrom(os.Environ())), 0o644); err != nil {
		return err
	}
	if err := format(); err != nil {
		return err
	}
	args := append([]string{java}, javaOptions()...)
	args = append(args, "kafka.Kafka", properties)
	// Java takes this process over, so that signals reach it.
	return syscall.Exec(java, args, os.Environ())
}

// settingsFrom turns the KAFKA_ variables into lines of a properties file.
func settingsFrom(environment []string) string {
	var lines strings.Builder
	names := strings.NewReplacer("___", "-", "__", "_", "_", ".")
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		key, isSetting := strings.CutPrefix(name, "KAFKA_")
		if !isSetting || strings.HasSuffix(key, "_OPTS") {
			continue
		}
		fmt.Fprintf(&lines, "%s=%s\n", names.Replace(strings.ToLower(key)), value)
	}
	return lines.String()
}

// format prepares an empty data directory; one that was used before stays as it is.
func format() error {
	if _, err := os.Stat(filepath.Join(os.Getenv("KAFKA_LOG_DIRS"), "meta.properties")); err == nil {
		return nil
	}
	id := cmp.Or(os.Getenv("CLUSTER_ID"), "5L6g3nShT-eMCtK--X86sw")
	cmd := exec.Command(java, append(javaOptions(), "kafka.tools.StorageTool",
		"format", "--cluster-id", id, "--config", properties)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func javaOptions() []string {
	options := []string{"-cp", classPath, "-Djava.awt.headless=true"}
	options = append(options, strings.Fields(os.Getenv("KAFKA_HEAP_OPTS"))...)
	return append(options, strings.Fields(os.Getenv("KAFKA_JVM_PERFORMANCE_OPTS"))...)
}
