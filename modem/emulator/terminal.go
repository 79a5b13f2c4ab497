package emulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// terminal gives a modem a pseudo-terminal under a stable name. While the modem
// is unplugged the name is gone, and who had it open reads the end.
type terminal struct {
	m          *Modem
	link, path string
	// master is the modem's side. peer is the host's side, held open so that the
	// terminal stays raw between two programs; "close" of the host is not seen,
	// as on a serial line.
	master, peer *os.File
}

// openTerminal makes the pseudo-terminal and its link. An old link is replaced;
// anything else of that name is not.
func openTerminal(m *Modem, link string) (*terminal, error) {
	t := &terminal{m: m, link: link}
	if fi, err := os.Lstat(link); err == nil && fi.Mode()&os.ModeSymlink == 0 {
		return nil, fmt.Errorf("emulate %s: there is something else of that name", link)
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *terminal) open() (err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("emulate %s: open /dev/ptmx: %w", t.link, err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("emulate %s: unlock: %w", t.link, err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("emulate %s: number: %w", t.link, err)
	}
	path := fmt.Sprintf("/dev/pts/%d", number)
	peer, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("emulate %s: %w", t.link, err)
	}
	if err := raw(int(peer.Fd())); err != nil {
		_ = peer.Close()
		return fmt.Errorf("emulate %s: raw mode: %w", t.link, err)
	}
	_ = os.Remove(t.link)
	if err := os.Symlink(path, t.link); err != nil {
		_ = peer.Close()
		return fmt.Errorf("emulate: %w", err)
	}
	t.path, t.peer, t.master = path, peer, os.NewFile(uintptr(fd), "/dev/ptmx")
	return nil
}

// raw sets a terminal to eight bits without echo, signals or translation.
func raw(fd int) error {
	tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	tio.Iflag, tio.Oflag, tio.Lflag = 0, 0, 0
	tio.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, tio)
}

// close ends both sides.
func (t *terminal) close() {
	_ = os.Remove(t.link)
	_ = t.master.Close()
	_ = t.peer.Close()
}

// run serves the modem until ctx ends, over a new pseudo-terminal each time it
// is plugged in.
func (t *terminal) run(ctx context.Context) error {
	for {
		done := make(chan struct{})
		go func() {
			defer close(done)
			t.share(ctx)
		}()
		_ = t.m.Serve(ctx, t.master)
		// The end of the session can have other reasons than the modem's.
		t.close()
		<-done
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := t.m.plugged(ctx, true); err != nil {
			return err
		}
		if err := t.open(); err != nil {
			return err
		}
	}
}

// share takes back, when the last program has closed the terminal, the
// exclusive use (TIOCEXCL) that a killed one leaves behind: the terminal, other
// than a serial line's, is still open here.
func (t *terminal) share(ctx context.Context) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer func() { _ = events.Close() }()
	if _, err := unix.InotifyAddWatch(fd, t.path, unix.IN_CLOSE); err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	peer, err := t.peer.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 4096)
	for {
		if _, err := events.Read(buf); err != nil {
			return
		}
		err := peer.Control(func(fd uintptr) { _, _, _ = unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCNXCL, 0) })
		if errors.Is(err, os.ErrClosed) || err != nil {
			return
		}
	}
}
