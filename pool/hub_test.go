package pool

import (
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem"
)

func TestHubOf(t *testing.T) {
	for path, hub := range map[string]string{
		"": "", "1-1": "1", "1-1.2": "1-1", "1-1.2.4": "1-1.2", "3-12": "3", "1": "",
	} {
		require.Equal(t, hub, hubOf(path), path)
	}
}

// TestMayDisturb: not while another on the same hub is in the middle of a
// message; what hangs on other hubs, or on none, does not matter.
func TestMayDisturb(t *testing.T) {
	p := &Pool{}
	add := func(path string) *line {
		l := &line{p: p, port: Port{USBPath: path}}
		p.lines = append(p.lines, l)
		return l
	}
	me, beside, elsewhere, serial := add("1-1.2"), add("1-1.3"), add("1-2.1"), add("")
	require.True(t, me.mayDisturb("L5"))
	me.busy, elsewhere.busy, serial.busy = true, true, true
	require.True(t, me.mayDisturb("L5"))
	require.True(t, serial.mayDisturb("L3"))
	for _, s := range []modem.State{modem.StateSending, modem.StateUnknown} {
		beside.heard.State = s
		require.False(t, me.mayDisturb("L3"), s)
	}
	beside.heard.State = modem.StateReady
	require.True(t, me.mayDisturb("L3"))
	beside.busy = true
	require.False(t, me.mayDisturb("L6"))
}
