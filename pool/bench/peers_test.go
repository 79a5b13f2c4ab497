package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

func write(b *testing.B, name string, text []byte) {
	b.Helper()
	require.NoError(b, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(b, os.WriteFile(name, text, 0o644))
}

// prepareSmstools writes smsd's configuration, tuned: every modem its own queue, the
// shortest waits that the program takes, no receiving and nothing asked that sending
// does not need; and the spool.
func prepareSmstools(b *testing.B, s *site) {
	dir := filepath.Join(s.folder, "smstools")
	for _, d := range []string{"outgoing", "checked", "incoming", "failed", "sent"} {
		require.NoError(b, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	var conf, queues strings.Builder
	var names []string
	for i, port := range s.ports {
		name := fmt.Sprintf("GSM%d", i)
		names = append(names, name)
		require.NoError(b, os.MkdirAll(filepath.Join(dir, "q", name), 0o755))
		fmt.Fprintf(&queues, "%s = %s\n", name, filepath.Join(dir, "q", name))
		fmt.Fprintf(&conf, "\n[%s]\ndevice = %s\nqueues = %s\nincoming = no\nreport = no\ncheck_network = 0\nrtscts = no\n"+
			"baudrate = 115200\npoll_faster = 1\nkeep_open = yes\nmax_continuous_sending = 3600\n", name, port, name)
	}
	global := strings.NewReplacer("DIR", dir, "DEVICES", strings.Join(names, ",")).Replace(`devices = DEVICES
outgoing = DIR/outgoing
checked = DIR/checked
incoming = DIR/incoming
failed = DIR/failed
sent = DIR/sent
logfile = DIR/smsd.log
infofile = DIR/smsd.working
pidfile = DIR/smsd.pid
loglevel = 3
delaytime = 1
delaytime_mainprocess = 1
errorsleeptime = 1
blocktime = 5
receive_before_send = no
status_signal_quality = no
autosplit = 3

[queues]
`)
	write(b, filepath.Join(dir, "smsd.conf"), []byte(global+queues.String()+conf.String()))
	for i := range s.messages {
		name := filepath.Join(dir, "q", names[i%len(names)], fmt.Sprintf("m%06d", i))
		write(b, name, fmt.Appendf(nil, "To: %s\nAlphabet: UTF-8\n\n%s", strings.TrimPrefix(number(i), "+"), text))
	}
}

func startSmstools(b *testing.B, s *site) []*exec.Cmd {
	command := exec.Command("smsd", "-c", filepath.Join(s.folder, "smstools", "smsd.conf"), "-t")
	start(b, command)
	return []*exec.Cmd{command}
}

// prepareGammu writes a configuration and an outbox for each modem: gammu-smsd knows
// one.
func prepareGammu(b *testing.B, s *site) {
	units := utf16.Encode([]rune(text))
	var body bytes.Buffer
	_ = binary.Write(&body, binary.LittleEndian, uint16(0xfeff))
	_ = binary.Write(&body, binary.LittleEndian, units)
	for i, port := range s.ports {
		dir := filepath.Join(s.folder, "gammu", fmt.Sprint(i))
		for _, d := range []string{"inbox", "outbox", "sent", "error"} {
			require.NoError(b, os.MkdirAll(filepath.Join(dir, d), 0o755))
		}
		write(b, filepath.Join(dir, "smsdrc"), []byte(strings.NewReplacer("DIR", dir, "PORT", port).Replace(`[gammu]
device = PORT
connection = at115200

[smsd]
service = files
logfile = DIR/log
debuglevel = 0
inboxpath = DIR/inbox/
outboxpath = DIR/outbox/
sentsmspath = DIR/sent/
errorsmspath = DIR/error/
commtimeout = 1
receivefrequency = 3600
statusfrequency = 0
loopsleep = 0
checksecurity = 0
checkbattery = 0
checksignal = 0
checknetwork = 0
receive = 0
`)))
	}
	for i := range s.messages {
		name := fmt.Sprintf("OUTC20260101_%06d_00_%s_bench.txt", i, number(i))
		write(b, filepath.Join(s.folder, "gammu", fmt.Sprint(i%len(s.ports)), "outbox", name), body.Bytes())
	}
}

func startGammu(b *testing.B, s *site) (all []*exec.Cmd) {
	for i := range s.ports {
		command := exec.Command("gammu-smsd", "-c", filepath.Join(s.folder, "gammu", fmt.Sprint(i), "smsdrc"))
		start(b, command)
		all = append(all, command)
	}
	return all
}

// startKannel starts bearerbox with all modems, and smsbox, which gets the messages by
// HTTP: kannel's queue is in memory.
func startKannel(b *testing.B, s *site) []*exec.Cmd {
	dir := filepath.Join(s.folder, "kannel")
	admin, box, send := freePort(b), freePort(b), freePort(b)
	var conf strings.Builder
	conf.WriteString(strings.NewReplacer("DIR", dir, "ADMIN", fmt.Sprint(admin), "BOX", fmt.Sprint(box), "SENDPORT", fmt.Sprint(send)).Replace(`
group = core
admin-port = ADMIN
admin-interface = 127.0.0.1
admin-password = local
smsbox-port = BOX
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
log-file = "DIR/bearerbox.log"
log-level = 3
dlr-storage = internal
sms-resend-freq = 5
maximum-queue-length = -1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = BOX
sendsms-port = SENDPORT
sendsms-interface = 127.0.0.1
global-sender = 34600000000
log-file = "DIR/smsbox.log"
log-level = 3

group = sendsms-user
username = bench
password = local

group = sms-service
keyword = default
max-messages = 0
text = ""

group = modems
id = emulated
name = "Emulated modem"
detect-string = "Recado"
init-string = "AT+CNMI=2,0,0,0,0"
message-storage = "SM"
`))
	for i, port := range s.ports {
		fmt.Fprintf(&conf, "\ngroup = smsc\nsmsc = at\nsmsc-id = m%d\nmodemtype = emulated\ndevice = %s\nspeed = 115200\nmy-number = 346000000%02d\n", i, port, i)
	}
	file := filepath.Join(dir, "kannel.conf")
	write(b, file, []byte(conf.String()))
	bearer := exec.Command("bearerbox", file)
	start(b, bearer)
	within(b, "bearerbox listens", func() bool { return reachable(fmt.Sprintf("127.0.0.1:%d", box)) })
	sms := exec.Command("smsbox", file)
	start(b, sms)
	within(b, "smsbox listens", func() bool { return reachable(fmt.Sprintf("127.0.0.1:%d", send)) })
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	work := make(chan int)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := range work {
				q := url.Values{"username": {"bench"}, "password": {"local"}, "to": {number(i)}, "text": {text}, "charset": {"UTF-8"}, "coding": {"2"}}
				resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms?%s", send, q.Encode()))
				if err != nil {
					b.Errorf("smsbox: %v", err)
					continue
				}
				_ = resp.Body.Close()
			}
		})
	}
	for i := range s.messages {
		work <- i
	}
	close(work)
	clients.Wait()
	return []*exec.Cmd{bearer, sms}
}
