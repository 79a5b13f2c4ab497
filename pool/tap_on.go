//go:build failpoints

package pool

import (
	"bytes"
	"context"
	"io"

	"recado/queue/failpoint"
)

// tapped puts the failpoints of what leaves for the modem on a port.
func tapped(open func(context.Context) (io.ReadWriteCloser, error)) func(context.Context) (io.ReadWriteCloser, error) {
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		port, err := open(ctx)
		if err != nil {
			return nil, err
		}
		t := &tap{port}
		if on, ok := port.(usbPort); ok {
			return struct {
				*tap
				usbPort
			}{t, on}, nil
		}
		return t, nil
	}
}

// usbPort is a port that knows where on the USB bus it is.
type usbPort interface{ USBPath() string }

// tap sees each write on its way to a port.
type tap struct{ io.ReadWriteCloser }

func (t *tap) Write(b []byte) (int, error) {
	before, after := "", ""
	switch {
	case bytes.HasSuffix(b, []byte{0x1a}):
		before, after = failpoint.CtrlZBefore, failpoint.CtrlZAfter
	case bytes.Contains(bytes.ToUpper(b), []byte("+CMGD=")):
		before, after = failpoint.CMGDBefore, failpoint.CMGDAfter
	default:
		return t.ReadWriteCloser.Write(b)
	}
	if err := failpoint.Err(before); err != nil {
		return 0, err
	}
	n, err := t.ReadWriteCloser.Write(b)
	if err == nil {
		failpoint.Hit(after)
	}
	return n, err
}
