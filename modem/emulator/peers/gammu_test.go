//go:build peers

package peers

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

func TestGammu(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	n, port := emulate(t, ctx, "generic")
	dir := t.TempDir()
	log := dir + "/log"
	config := write(t, dir, "gammurc", fmt.Sprintf("[gammu]\ndevice = %s\nconnection = at115200\nlogfile = %s\nlogformat = textall\n", port.Path, log))
	showOnFailure(t, log)
	gammu := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, "gammu", append([]string{"-c", config}, args...)...)
		cmd.Env = append(cmd.Environ(), "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "gammu %v: %s", args, out)
		return string(out)
	}

	who := gammu("identify")
	require.Contains(t, who, port.Modem.IMEI())

	long := strings.TrimSpace(strings.Repeat("Un texto largo que no cabe en uno. ", 9))
	want := map[string]string{
		"+34600111001": "Hola desde gammu, con eñe y €",
		"+34600111002": "Привет, 你好 😀",
		"+34600111003": long,
	}
	gammu("sendsms", "TEXT", "+34600111001", "-text", want["+34600111001"], "-report")
	gammu("sendsms", "TEXT", "+34600111002", "-unicode", "-text", want["+34600111002"])
	gammu("sendsms", "TEXT", "+34600111003", "-len", "400", "-text", long)
	require.Equal(t, want, texts(n))
	require.Len(t, entries(n, emulator.EntrySubmit), 5)

	require.NoError(t, n.Inbound(port.Modem.Number(), "+34600222333", "Recibido, señora €"))
	require.NoError(t, n.Inbound(port.Modem.Number(), "+34600222334", "Ça va 你好"))
	within(t, "stored", func() bool { return len(entries(n, emulator.EntryDeliver)) == 2 })
	all := gammu("getallsms")
	require.Contains(t, all, "+34600222333")
	require.Contains(t, all, "Recibido, señora €")
	require.Contains(t, all, "Ça va 你好")
}
