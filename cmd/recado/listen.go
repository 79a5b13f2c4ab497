package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"recado/webui"
)

// front is one HTTP server and what ends the requests on it that never end by themselves.
type front struct {
	server  *http.Server
	streams context.CancelFunc
}

func newFront(server *http.Server) *front {
	base, cancel := context.WithCancel(context.Background())
	server.BaseContext = func(net.Listener) context.Context { return base }
	return &front{server: server, streams: cancel}
}

func (f *front) serve(l net.Listener) error {
	if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stop takes no new requests, lets those that run finish, ends streams after a moment and
// cuts what is left after five seconds.
func (f *front) stop(bound context.Context) error {
	ctx, cancel := context.WithTimeout(bound, 5*time.Second)
	defer cancel()
	end := time.AfterFunc(500*time.Millisecond, f.streams)
	defer end.Stop()
	defer f.streams()
	if err := f.server.Shutdown(ctx); err != nil {
		return f.server.Close()
	}
	return nil
}

// listen opens the LAN's port, with the limits on connections.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program has that port: stop it, or name another with --listen", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: give --listen an address of this box and a port", address, err)
	}
	return webui.Limit(l), nil
}

// listenSocket makes the local control socket, for its owner only. The data folder is locked:
// a socket that is there was left by a process that did not end in order.
func listenSocket(dir dataDir) (net.Listener, error) {
	if err := os.Remove(dir.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the control socket: %w", err)
	}
	l, err := net.Listen("unix", dir.socket())
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w (its path may have at most 107 characters)", err)
	}
	// The folder is 0700, so nobody else came in between.
	if err := os.Chmod(dir.socket(), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the control socket: %w", err), l.Close())
	}
	return l, nil
}

// urls are the addresses to type into a browser: of every interface when it listens on all.
func urls(a net.Addr) []string {
	tcp := a.(*net.TCPAddr)
	if !tcp.IP.IsUnspecified() {
		return []string{pageURL(tcp.IP, tcp.Port)}
	}
	var all []string
	interfaces, _ := net.InterfaceAddrs()
	for _, i := range interfaces {
		network, ok := i.(*net.IPNet)
		// A link-local address needs a zone, which browsers do not take.
		if ok && !network.IP.IsLoopback() && !network.IP.IsLinkLocalUnicast() {
			all = append(all, pageURL(network.IP, tcp.Port))
		}
	}
	return append(all, pageURL(net.IPv4(127, 0, 0, 1), tcp.Port))
}

func pageURL(ip net.IP, port int) string {
	return fmt.Sprintf("http://%s/", net.JoinHostPort(ip.String(), fmt.Sprint(port)))
}

// probeURL is where the process asks itself whether it answers.
func probeURL(a net.Addr) string {
	tcp := a.(*net.TCPAddr)
	ip := tcp.IP
	if ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	return pageURL(ip, tcp.Port) + "health/live"
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
