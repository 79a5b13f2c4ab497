//go:build peers

package peers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// smsd of smstools over TCP, with its own spool.
func TestSmstools(t *testing.T) {
	t.Parallel()
	n, port := emulate(t, t.Context(), "generic")
	dir := t.TempDir()
	for _, d := range []string{"outgoing", "checked", "incoming", "failed", "sent", "report", "saved"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	host, tcp, err := net.SplitHostPort(port.Addr)
	require.NoError(t, err)
	config := write(t, dir, "smsd.conf", strings.NewReplacer("DIR", dir, "HOST", host, "PORT", tcp).Replace(`
devices = GSM1
outgoing = DIR/outgoing
checked = DIR/checked
incoming = DIR/incoming
failed = DIR/failed
sent = DIR/sent
report = DIR/report
saved = DIR/saved
logfile = DIR/smsd.log
infofile = DIR/smsd.working
pidfile = DIR/smsd.pid
loglevel = 7
delaytime = 1
errorsleeptime = 1
blocktime = 5
receive_before_send = no
autosplit = 3

[GSM1]
device = @HOST:PORT
init = AT+CNMI=2,0,0,1,0
routed_status_report_cnma = no
incoming = yes
report = yes
`))
	showOnFailure(t, filepath.Join(dir, "smsd.log"))
	daemon(t, "smsd", "-c", config, "-t")

	long := strings.TrimSpace(strings.Repeat("Un texto largo que no cabe en uno. ", 9))
	want := map[string]string{
		"+34600222001": "Hola desde smsd, senora",
		"+34600222002": "Привет, 你好",
		"+34600222003": long,
	}
	outgoing := func(name, number, header, text string) {
		t.Helper()
		// Complete before smsd can see it.
		path := write(t, dir, name, fmt.Sprintf("To: %s\nReport: yes\n%s\n%s", strings.TrimPrefix(number, "+"), header, text))
		require.NoError(t, os.Rename(path, filepath.Join(dir, "outgoing", name)))
	}
	outgoing("plain", "+34600222001", "", want["+34600222001"])
	outgoing("unicode", "+34600222002", "Alphabet: UTF-8\n", want["+34600222002"])
	outgoing("long", "+34600222003", "", long)
	within(t, "sent", func() bool { return len(files(t, dir, "sent")) == 3 })
	got := texts(n)
	require.Equal(t, want, got)
	require.Empty(t, files(t, dir, "failed"))

	require.NoError(t, n.Inbound(port.Modem.Number(), "+34600222333", "Gracias, nos vemos"))
	within(t, "inbound and reports", func() bool {
		return len(files(t, dir, "incoming")) >= 1 && len(files(t, dir, "report")) >= 5
	})
	in := contents(t, dir, "incoming")
	require.Contains(t, in, "From: 34600222333")
	require.Contains(t, in, "Gracias, nos vemos")
	require.Contains(t, contents(t, dir, "report"), "Status: 0,Ok")
	require.Len(t, entries(n, emulator.EntryReport), 5)
	// It deletes what it has read.
	within(t, "deleted", func() bool { return port.Modem.Stored() == 0 })
}

func files(t *testing.T, dir, sub string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, sub, "*"))
	require.NoError(t, err)
	return names
}

func contents(t *testing.T, dir, sub string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range files(t, dir, sub) {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		all.Write(b)
	}
	return all.String()
}
