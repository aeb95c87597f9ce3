package script

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// port is a TCP port of a loopback address. While it doesn't listen it refuses
// connections, and is kept, so that nobody else gets it.
type port struct {
	ip     [4]byte
	number int
	kept   int // the socket that keeps it, or -1 while it listens
}

// newPort reserves a free port, or one of a number.
func newPort(ip [4]byte, number int) (*port, error) {
	p := &port{ip: ip, number: number, kept: -1}
	return p, p.keep()
}

func (p *port) String() string {
	return fmt.Sprintf("%d.%d.%d.%d:%d", p.ip[0], p.ip[1], p.ip[2], p.ip[3], p.number)
}

// keep binds a socket that doesn't listen.
func (p *port) keep() error {
	syscall.ForkLock.RLock() // no child inherits it
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("a socket: %w", err)
	}
	if err := p.bind(fd); err != nil {
		_ = syscall.Close(fd) // the error is in hand
		return fmt.Errorf("bind %v: %w", p, err)
	}
	p.kept = fd
	return nil
}

func (p *port) bind(fd int) error {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: p.ip, Port: p.number}); err != nil {
		return err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return err
	}
	p.number = bound.(*syscall.SockaddrInet4).Port
	return nil
}

// listen accepts connections from now on, until the listener is closed.
func (p *port) listen() (net.Listener, error) {
	if err := syscall.Listen(p.kept, 128); err != nil {
		return nil, fmt.Errorf("listen on %v: %w", p, err)
	}
	file := os.NewFile(uintptr(p.kept), p.String())
	p.kept = -1
	listener, err := net.FileListener(file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		return nil, closeErr
	}
	return listener, err
}

// release gives the port up.
func (p *port) release() {
	if p.kept >= 0 {
		_ = syscall.Close(p.kept) // nobody has used it
		p.kept = -1
	}
}
