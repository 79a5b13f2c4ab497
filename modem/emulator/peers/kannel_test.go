//go:build peers

package peers

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// Kannel's bearerbox with an AT modem over raw TCP, and its smsbox: sends come
// in by HTTP, received messages and reports go out by HTTP.
func TestKannel(t *testing.T) {
	t.Parallel()
	n, port := emulate(t, t.Context(), "generic")

	var mu sync.Mutex
	var seen []url.Values
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		v.Set("path", r.URL.Path)
		mu.Lock()
		seen = append(seen, v)
		mu.Unlock()
	}))
	t.Cleanup(sink.Close)
	calls := func(path string) []url.Values {
		mu.Lock()
		defer mu.Unlock()
		var out []url.Values
		for _, v := range seen {
			if v.Get("path") == path {
				out = append(out, v)
			}
		}
		return out
	}

	dir := t.TempDir()
	host, tcp, err := net.SplitHostPort(port.Addr)
	require.NoError(t, err)
	box, send := freePort(t), freePort(t)
	config := write(t, dir, "kannel.conf", strings.NewReplacer(
		"DIR", dir, "HOST", host, "TCP", tcp, "SINK", sink.URL, "ADMIN", fmt.Sprint(freePort(t)),
		"BOX", fmt.Sprint(box), "SENDPORT", fmt.Sprint(send), "NUMBER", port.Modem.Number(),
	).Replace(`
group = core
admin-port = ADMIN
admin-interface = 127.0.0.1
admin-password = local
smsbox-port = BOX
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
log-file = "DIR/bearerbox.log"
log-level = 0
dlr-storage = internal
sms-resend-freq = 5

group = smsc
smsc = at
smsc-id = emulated
modemtype = emulated
device = rawtcp
host = HOST
port = TCP
my-number = NUMBER
sim-buffering = true

group = modems
id = emulated
name = "Emulated modem"
detect-string = "Recado"
init-string = "AT+CNMI=2,1,0,1,0"
message-storage = "SM"

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = BOX
sendsms-port = SENDPORT
sendsms-interface = 127.0.0.1
global-sender = NUMBER
log-file = "DIR/smsbox.log"
log-level = 0

group = sendsms-user
username = tester
password = local
max-messages = 5
concatenation = true

group = sms-service
keyword = default
get-url = "SINK/mo?from=%p&text=%a&charset=%C"
max-messages = 0
`))
	showOnFailure(t, filepath.Join(dir, "bearerbox.log"))
	daemon(t, "bearerbox", config)
	within(t, "bearerbox listens", func() bool { return reachable(box) })
	daemon(t, "smsbox", config)
	within(t, "smsbox listens", func() bool { return reachable(send) })

	long := strings.TrimSpace(strings.Repeat("Un texto largo que no cabe en uno. ", 9))
	want := map[string]string{
		"+34600333001": "Hola desde Kannel, señora €",
		"+34600333002": "Привет, 你好",
		"+34600333003": long,
	}
	for to, text := range want {
		q := url.Values{
			"username": {"tester"}, "password": {"local"}, "to": {to}, "text": {text}, "charset": {"UTF-8"},
			"dlr-mask": {"3"}, "dlr-url": {sink.URL + "/dlr?type=%d&to=" + url.QueryEscape(to)},
		}
		if strings.ContainsRune(text, '你') {
			q.Set("coding", "2")
		}
		within(t, "smsbox takes it", func() bool { return get(fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms?%s", send, q.Encode())) })
	}
	within(t, "sent", func() bool { return len(entries(n, emulator.EntrySubmit)) == 5 })
	require.Equal(t, want, texts(n))

	require.NoError(t, n.Inbound(port.Modem.Number(), "+34600222333", "Gracias, nos vemos"))
	within(t, "received", func() bool { return len(calls("/mo")) == 1 })
	require.Equal(t, "Gracias, nos vemos", calls("/mo")[0].Get("text"))
	require.Contains(t, calls("/mo")[0].Get("from"), "34600222333")
	within(t, "reported", func() bool {
		delivered := make(map[string]bool)
		for _, v := range calls("/dlr") {
			if v.Get("type") == "1" {
				delivered[v.Get("to")] = true
			}
		}
		return len(delivered) == len(want)
	})
	within(t, "deleted", func() bool { return port.Modem.Stored() == 0 })
}

func reachable(port int) bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// get is true when the answer says that the message was taken.
func get(u string) bool {
	resp, err := http.Get(u)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusAccepted
}
