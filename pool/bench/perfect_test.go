package bench

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// text is what everybody sends: 70 characters that make it UCS-2, one segment.
var text = strings.Repeat("щ", 70)

// number is the recipient of message i; none of those that do something.
func number(i int) string { return fmt.Sprintf("+34600%06d", i) }

const perfectly = "RECADO_BENCH_IS_THE_PERFECT_DRIVER"

// TestMain is the perfect driver when it is told so.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(perfectly)); err == nil {
		drive(os.Args[1:], n)
		return
	}
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// startPerfect is a driver that writes the bare AT dialogue and nothing else: no
// queue, no disk, no reports, no look at anything but the prompt and the OK.
func startPerfect(b *testing.B, s *site) []*exec.Cmd {
	command := exec.Command(os.Args[0], s.ports...)
	command.Env = append(os.Environ(), perfectly+"="+strconv.Itoa(s.messages))
	command.Stderr = os.Stderr
	start(b, command)
	return []*exec.Cmd{command}
}

// drive sends about so many messages through the ports, a loop each.
func drive(ports []string, messages int) {
	var all sync.WaitGroup
	for i, port := range ports {
		all.Go(func() {
			if err := driveOne(port, i, len(ports), messages); err != nil {
				fmt.Fprintln(os.Stderr, filepath.Base(port), err)
			}
		})
	}
	all.Wait()
}

func driveOne(port string, first, step, messages int) error {
	// Not blocking: the runtime waits for all ports at once.
	file, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	buf := make([]byte, 256)
	ask := func(question, end string) error {
		if _, err := file.WriteString(question); err != nil {
			return err
		}
		for n := 0; ; {
			more, err := file.Read(buf[n:])
			if err != nil {
				return err
			}
			if n += more; strings.HasSuffix(string(buf[:n]), end) {
				return nil
			}
			if n == len(buf) {
				return fmt.Errorf("the modem says %q", buf)
			}
		}
	}
	for _, command := range []string{"ATE0\r", "AT+CMGF=0\r", "AT+CNMI=2,0,0,0,0\r"} {
		if err := ask(command, "\r\nOK\r\n"); err != nil {
			return err
		}
	}
	for i := first; i < messages; i += step {
		tpdu := bareTPDU(number(i))
		if err := ask(fmt.Sprintf("AT+CMGS=%d\r", len(tpdu)), "\r\n> "); err != nil {
			return err
		}
		if err := ask("00"+strings.ToUpper(hex.EncodeToString(tpdu))+"\x1a", "\r\nOK\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// bareTPDU is an SMS-SUBMIT of text without validity period or report (TS 23.040
// 9.2.2.2).
func bareTPDU(to string) []byte {
	digits := strings.TrimPrefix(to, "+")
	p := []byte{0x01, 0x00, byte(len(digits)), 0x91}
	if len(digits)%2 == 1 {
		digits += "?" // 0xF below
	}
	for i := 0; i < len(digits); i += 2 {
		p = append(p, digits[i]&0xf|digits[i+1]<<4)
	}
	units := utf16.Encode([]rune(text))
	p = append(p, 0x00, 0x08, byte(2*len(units)))
	for _, u := range units {
		p = append(p, byte(u>>8), byte(u))
	}
	return p
}
