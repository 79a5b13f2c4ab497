package emulator

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTranscripts plays dialogues: lines with > are written by the host (\r
// added), lines with < are all that the modem says to it, quoted as in Go, with
// nothing at all when there is none. "! inbound FROM TEXT" lets the network
// deliver, "! wait D" lets time pass, "! family F" and "! pin N" at the top
// choose the modem.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			synctest.Test(t, func(t *testing.T) { play(t, string(text)) })
		})
	}
}

func play(t *testing.T, text string) {
	var mo ModemOptions
	var h *host
	n := NewNetwork(NetworkOptions{ReportDelay: time.Second})
	start := func() {
		if h == nil {
			n.AddModem(mo)
			h = open(t, n.Modems()[0])
		}
	}
	last := ""
	expected := true
	check := func(where int, want string) {
		t.Helper()
		require.Equal(t, want, strconv.Quote(h.heard()), "line %d, after %q", where, last)
		expected = true
	}
	for i, line := range strings.Split(text, "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case ">":
			start()
			if !expected {
				check(i, `""`)
			}
			raw, err := strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
			require.NoError(t, err, "line %d", i+1)
			if !strings.HasSuffix(raw, "\x1a") && !strings.HasSuffix(raw, "\x1b") {
				raw += "\r"
			}
			h.write(raw)
			last, expected = rest, false
		case "<":
			check(i+1, rest)
		case "!":
			what, arg, _ := strings.Cut(rest, " ")
			if h != nil {
				h.t = t
			}
			switch what {
			case "family":
				mo.Family = arg
			case "pin":
				mo.PIN = arg
			case "inbound":
				start()
				from, body, _ := strings.Cut(arg, " ")
				require.NoError(t, n.Inbound(n.Modems()[0].ICCID(), from, body))
			case "wait":
				d, err := time.ParseDuration(arg)
				require.NoError(t, err)
				time.Sleep(d)
			default:
				t.Fatalf("line %d: %q", i+1, line)
			}
		case "#", "":
		default:
			t.Fatalf("line %d: %q", i+1, line)
		}
	}
	if !expected {
		check(-1, `""`)
	}
	h.close()
	require.NoError(t, n.Close())
}
