package modem

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/family"
)

// dialogue is a family's transcript: what the modem answers to which command.
// The format of the files in testdata/families:
//
//	> AT+CGMI        a command; it must have been written as often by the end
//	>? AT+CMD        the same, and need not have been written
//	< SIMCOM_Ltd     a line of its answer; the last may be ERROR, +CME ERROR …,
//	                 else OK is added, or nothing with a last line of "<"
//	! family NAME    what Snapshot has to say: family, storage, reports, iccid, tries
//	! pin 1234       the SIM's PIN that is known
//	! state S        the state that is reached; ready when it is not given
//	! never AT+CMD   no line that begins so may have been written
//	! order A | B    these were written in this order, nothing else between
//	! say A | B      lines that the modem says by itself, once it is ready
//	! got N          so many TPDUs reached the sink
//
// A command that is there several times gets one answer after the other, and
// the last one for ever. What is not there gets ERROR; AT gets OK; AT+CMGS gets
// its prompt and +CMGS: 7.
type dialogue struct {
	answers map[string][][]string
	asked   map[string]int // how often each must have been written
	rules   [][2]string

	mu   sync.Mutex
	got  []string
	conn net.Conn
}

func readDialogue(t *testing.T, file string) *dialogue {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	d := &dialogue{answers: map[string][][]string{}, asked: map[string]int{}}
	cmd := ""
	for i, line := range strings.Split(string(text), "\n") {
		mark, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch mark {
		case "", "#":
		case ">", ">?":
			cmd = rest
			if mark == ">" {
				d.asked[cmd]++
			}
			d.answers[cmd] = append(d.answers[cmd], nil)
		case "<":
			list := d.answers[cmd]
			require.NotEmpty(t, list, "line %d", i+1)
			list[len(list)-1] = append(list[len(list)-1], rest)
		case "!":
			what, arg, _ := strings.Cut(rest, " ")
			d.rules = append(d.rules, [2]string{what, arg})
		default:
			require.Fail(t, "a line that means nothing", "%s:%d: %s", file, i+1, line)
		}
	}
	return d
}

func (d *dialogue) rule(what string) (args []string) {
	for _, r := range d.rules {
		if r[0] == what {
			args = append(args, r[1])
		}
	}
	return args
}

func (d *dialogue) open(context.Context) (io.ReadWriteCloser, error) {
	host, device := net.Pipe()
	d.mu.Lock()
	d.conn = device
	d.mu.Unlock()
	go d.serve(device)
	return host, nil
}

func (d *dialogue) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\r')
		if err != nil {
			return
		}
		cmd := strings.Trim(line, "\r\n\x1b\x1a ")
		if cmd == "" {
			continue
		}
		d.mu.Lock()
		d.got = append(d.got, cmd)
		var answer []string
		list := d.answers[cmd]
		if len(list) > 0 {
			answer = list[0]
		}
		if len(list) > 1 {
			d.answers[cmd] = list[1:]
		}
		d.mu.Unlock()
		switch {
		case len(list) > 0:
		case strings.HasPrefix(cmd, "AT+CMGS="):
			io.WriteString(c, "\r\n> ")
			if _, err := r.ReadString(0x1a); err != nil {
				return
			}
			answer = []string{"+CMGS: 7"}
		case cmd != "AT":
			answer = []string{"ERROR"}
		}
		last := ""
		if len(answer) > 0 {
			last = answer[len(answer)-1]
		}
		switch {
		case last == "" && len(answer) > 0:
			answer = answer[:len(answer)-1]
		case last != "ERROR" && !strings.Contains(last, " ERROR:"):
			answer = append(slices.Clone(answer), "OK")
		}
		io.WriteString(c, "\r\n"+strings.Join(answer, "\r\n\r\n")+"\r\n")
	}
}

func (d *dialogue) wrote() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

// TestFamilies plays every family's dialogue through the whole of the modem:
// start, a message out, what the modem says by itself.
func TestFamilies(t *testing.T) {
	files, err := filepath.Glob("testdata/families/*.txt")
	require.NoError(t, err)
	played := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			d := readDialogue(t, file)
			require.Len(t, d.rule("family"), 1)
			played[d.rule("family")[0]] = true
			synctest.Test(t, func(t *testing.T) { d.play(t) })
		})
	}
	for _, f := range family.Families() {
		require.True(t, played[f.Name], "the family %s has no dialogue in testdata/families", f.Name)
	}
}

func (d *dialogue) play(t *testing.T) {
	b := &box{}
	m := New(Config{Name: "tcp:127.0.0.1:1", Sink: b, Open: d.open, PINs: offering(strings.Join(d.rule("pin"), ""))})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	l := &lifeOf{t: t, m: m, box: b}
	want := StateReady
	if s := d.rule("state"); len(s) > 0 {
		want = State(s[0])
	}
	l.state(want, 2*time.Minute)
	if want == StateReady {
		o, _ := l.send("+34600111222", "hola")
		require.Equal(t, Accepted, o.Verdict, "%+v", o)
		require.Equal(t, 7, o.MR)
	}
	for _, lines := range d.rule("say") {
		for _, line := range strings.Split(lines, " | ") {
			d.mu.Lock()
			c := d.conn
			d.mu.Unlock()
			io.WriteString(c, "\r\n"+line+"\r\n")
		}
	}
	l.pass(20 * time.Second)
	snap := m.Snapshot()
	is := map[string]string{
		"family": snap.Family, "storage": snap.StorageName, "reports": strconv.Itoa(snap.ReportsBy),
		"iccid": snap.SIM.ICCID, "tries": strconv.Itoa(snap.SIM.PINTries), "got": strconv.Itoa(len(b.received())),
	}
	for _, r := range d.rules {
		if value, ok := is[r[0]]; ok {
			require.Equal(t, r[1], value, "%s", r[0])
		}
	}
	wrote := d.wrote()
	for cmd, times := range d.asked {
		n := 0
		for _, w := range wrote {
			if w == cmd {
				n++
			}
		}
		require.GreaterOrEqual(t, n, times, "%s is in the dialogue more often than it was written", cmd)
	}
	for _, never := range d.rule("never") {
		for _, w := range wrote {
			require.False(t, strings.HasPrefix(w, never), "%s", w)
		}
	}
	for _, order := range d.rule("order") {
		seq := strings.Split(order, " | ")
		found := false
		for i := range wrote {
			found = found || i+len(seq) <= len(wrote) && slices.Equal(wrote[i:i+len(seq)], seq)
		}
		require.True(t, found, "%s is not in %v", order, wrote)
	}
}
