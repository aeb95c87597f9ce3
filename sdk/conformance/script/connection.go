package script

import (
	"net"
	"sync"
	"time"
)

// Connection is a TCP connection of a client.
type Connection struct {
	net.Conn
	// Accepted is when it came.
	Accepted time.Time

	closeOnce sync.Once
	closed    chan struct{}
	closeErr  error

	mu     sync.Mutex
	frozen chan struct{} // closed when frozen
}

func newConnection(c net.Conn) *Connection {
	return &Connection{Conn: c, Accepted: time.Now(), closed: make(chan struct{}), frozen: make(chan struct{})}
}

// Cut ends the connection as a crash does: with a reset.
func (c *Connection) Cut() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails if it is closed
	}
	_ = c.Close() // as above
}

// Freeze has the connection neither take nor give anything from now on, without a word
// to the client: as when a machine or a cable vanishes.
func (c *Connection) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.frozen:
	default:
		close(c.frozen)
	}
}

// Close implements net.Conn. It may be called twice.
func (c *Connection) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.closeErr = c.Conn.Close()
	})
	return c.closeErr
}

// Read implements net.Conn.
func (c *Connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.frozen:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

// Write implements net.Conn.
func (c *Connection) Write(p []byte) (int, error) {
	select {
	case <-c.frozen:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return c.Conn.Write(p)
	}
}

// listener hands connections to gRPC as a Server wants it.
type listener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := newConnection(accepted)
		slam := false
		l.server.state.Update(func() {
			l.server.connections = append(l.server.connections, c)
			slam = l.server.slamming
		})
		if !slam {
			return c, nil
		}
		_ = c.Close() // it has done nothing yet
	}
}
