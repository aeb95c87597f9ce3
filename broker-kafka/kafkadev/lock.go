package kafkadev

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockName is a file of the data folder that is locked while a Cluster runs. The
// file stays; the lock goes with the process that holds it, however it ends.
const lockName = "messageproxy.lock"

// dirLock is a held lock on a data folder. A nil one holds nothing.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the data folder %s can't be made: %w", dir, err)
	}
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s can't be locked: %w", dir, err)
	}
	if err := lockFile(file); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("the data folder %s is in use by another process, or can't be locked: "+
			"end that process, or give this one a folder of its own: %w", dir, err)
	}
	return &dirLock{file}, nil
}

func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
