package pdu

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryStatus compares each of the 256 octets with a table written by hand.
func TestEveryStatus(t *testing.T) {
	text, err := os.ReadFile("testdata/status.txt")
	require.NoError(t, err)
	for i, r := range statuses[1:] {
		require.Equal(t, statuses[i].to+1, r.from, "a hole before %#x", r.from)
	}
	next := 0
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "|")
		require.Len(t, fields, 3, line)
		first, last, ranged := strings.Cut(fields[0], "-")
		if !ranged {
			last = first
		}
		from, err := strconv.ParseUint(first, 16, 8)
		require.NoError(t, err)
		to, err := strconv.ParseUint(last, 16, 8)
		require.NoError(t, err)
		require.EqualValues(t, next, from, "a hole before %s", line)
		for st := from; st <= to; st++ {
			s := StatusOf(uint8(st))
			require.Equal(t, fields[1], string(s), "%#x", st)
			require.Contains(t, StatusText(uint8(st)), fields[2], "%#x", st)
			delivered := st <= 0x1F
			failed := st >= 0x40 && st <= 0x7F
			require.Equal(t, delivered, s.Delivered(), "%#x", st)
			require.Equal(t, failed, s.Failed(), "%#x", st)
			require.Equal(t, delivered || failed, s.Final(), "%#x", st)
		}
		next = int(to) + 1
	}
	require.Equal(t, 256, next)
}
