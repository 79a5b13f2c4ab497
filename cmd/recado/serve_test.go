package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

func TestFirstStart(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := startServing(t, data, "--emulate", "2")
	require.Regexp(t, `(?m)^Recado \S+\nOpen http://127\.0\.0\.1:\d+/\nSetup code: [A-Z0-9-]{20,}$`, d.Output())
	for name, mode := range map[string]os.FileMode{"": 0o700, "recado.db": 0o600, "recado.sock": 0o600, "recado.lock": 0o600} {
		info, err := os.Stat(filepath.Join(data, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	answer, err := http.Get(d.url + "/health/live")
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	answer, err = http.Get(d.url + "/api/v1/messages")
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode, "nothing without a key")

	eventually(t, func() bool {
		return regexp.MustCompile(`Lines ready +2\n`).MatchString(done(t, "status", "--data", data))
	}, "both emulated modems in recado status")
	status := done(t, "status", "--data", data)
	require.Contains(t, status, "emulated:0")
	require.Contains(t, status, "dBm")

	// The code is on the console too, until there is an administrator.
	require.Equal(t, 2, recado(t, "", "user", "create", "--name", "ana", "--role", "admin", "--data", data).code, "no password")
	require.Equal(t, 1, recado(t, "corta\n", "user", "create", "--name", "ana", "--role", "admin", "--data", data).code)
	r := recado(t, "una contraseña bastante larga\n", "user", "create", "--name", "ana", "--role", "admin", "--data", data)
	require.Zero(t, r.code, r.err)
	require.Empty(t, r.out)

	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20*time.Second))
	_, err = os.Stat(filepath.Join(data, "recado.sock"))
	require.ErrorIs(t, err, os.ErrNotExist)
	again := startServing(t, data)
	require.NotContains(t, again.Output(), "Setup code")
}

func TestWhatCannotStartSaysWhatToDo(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := startServing(t, data)
	port := d.url[len("http://"):]

	for _, row := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a second daemon", []string{"serve", "--data", data}, 1, `another recado \(PID \d+\) works on .*: stop it, or name another folder with --data`},
		{"a port in use", []string{"serve", "--data", dataFolder(t), "--listen", port}, 1, `another program has that port: stop it, or name another with --listen`},
		{"no address", []string{"serve", "--data", dataFolder(t), "--listen", "somewhere"}, 1, `listen on somewhere: .*give --listen an address`},
		{"no folder possible", []string{"serve", "--data", "/proc/recado"}, 1, `create the data folder: .*name one of yours with --data`},
		{"no such flag", []string{"serve", "--frob"}, 2, `unknown flag --frob`},
		{"no such command", []string{"frob"}, 2, `unexpected argument frob`},
		{"no command", nil, 2, `expected one of`},
		{"too many modems", []string{"serve", "--emulate", "1000"}, 2, `0 to 256`},
		{"a port twice", []string{"serve", "--data", dataFolder(t), "--listen", "127.0.0.1:0", "--modem", "/dev/x", "--modem", "/dev/x"}, 2, `named twice`},
		{"unknown key", []string{"serve", "--config", configured(t, "data='x'\nlitsen='y'\n")}, 2, `recado.toml line 2: unknown key "litsen"`},
		{"emulate nowhere", []string{"emulate", "--modems", "1"}, 2, `--dir`},
		{"no PIN", []string{"emulate", "--modems", "1", "--dir", "x", "--pin", "12"}, 2, `a PIN has 4 to 8 digits`},
		{"a PUK alone", []string{"emulate", "--modems", "1", "--dir", "x", "--puk", "12345678"}, 2, `needs --pin`},
		{"send nothing", []string{"send", "600111222"}, 2, `<text>`},
		{"no data", []string{"status", "--data", "/nowhere/at/all"}, 1, `no appliance's data in /nowhere/at/all: name its folder with --data`},
		{"no such scope", []string{"key", "create", "--name", "x", "--scope", "everything", "--data", data}, 1, `messages:send`},
		{"a bad number", []string{"send", "12ab", "x", "--data", data}, 1, `a number is 3 to 15 digits`},
		{"an empty text", []string{"send", "600111222", "", "--data", data}, 1, `text`},
		{"no such console command", []string{"console", "-c", "frob", "--data", data}, 2, `no command "frob"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := recado(t, "", row.args...)
			require.Equal(t, row.code, r.code, r.err)
			require.Regexp(t, `^recado: `, r.err)
			require.Regexp(t, row.says, r.err)
			require.Regexp(t, `^[^\n]*\n$`, r.err, "one line")
			require.Empty(t, r.out)
		})
	}
}

func TestADatabaseOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	path := filepath.Join(data, "recado.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), sqlite.Urgent, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		return err
	}))
	require.NoError(t, db.Close())
	for _, args := range [][]string{
		{"serve", "--data", data, "--listen", "127.0.0.1:0"},
		{"status", "--data", data},
	} {
		r := recado(t, "", args...)
		require.Equal(t, 1, r.code)
		require.Regexp(t, `^recado: .*recado\.db was written by a newer version: install that version or a later one[^\n]*\n$`, r.err)
	}
}

// TestBadPorts: what is no modem, held by another program or not there is named in the status,
// and keeps nobody else from working.
func TestBadPorts(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	mute, muteSlave, err := pty.Open() // takes everything and says nothing
	require.NoError(t, err)
	defer mute.Close()
	defer muteSlave.Close()
	swallowed := make(chan struct{})
	go func() {
		defer close(swallowed)
		_, _ = io.Copy(io.Discard, mute)
	}()
	busy, busySlave, err := pty.Open()
	require.NoError(t, err)
	defer busy.Close()
	defer busySlave.Close()
	require.NoError(t, syscall.Flock(int(busySlave.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	file := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(file, []byte("no modem"), 0o600))

	d := serving(t, data, "--emulate", "1", "--modem", muteSlave.Name(), "--modem", busySlave.Name(),
		"--modem", "/dev/ttyUSB99", "--modem", file, "--modem", "tcp:127.0.0.1:1")
	d.lines(1)
	d.becomes(d.send("600111222", "the others work"), "delivered")
	var modems struct {
		Items []struct {
			Port, State string
			Reason      *string
			LastError   *string `json:"last_error"`
		}
	}
	eventually(t, func() bool {
		modems.Items = nil
		d.ask("GET", "/api/v1/modems", nil, &modems)
		for _, m := range modems.Items {
			if m.Port != "emulated:0" && (m.Reason == nil || *m.Reason == "") {
				return false
			}
		}
		return true
	}, "every bad port says why")
	states := map[string]string{}
	for _, m := range modems.Items {
		states[m.Port] = m.State
	}
	require.Equal(t, "locked", states[busySlave.Name()])
	require.Equal(t, "absent", states["/dev/ttyUSB99"])
	require.Equal(t, "ready", states["emulated:0"])
	status := done(t, "status", "--data", data)
	for port := range states {
		require.Contains(t, status, port)
	}
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20*time.Second))
	muteSlave.Close()
	mute.Close()
	<-swallowed
}

func TestSendWithAndWithoutADaemon(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := startServing(t, data, "--emulate", "1")
	require.Regexp(t, `^\S{36} delivered\n$`, done(t, "send", "600111222", "Hola, ñandú", "--wait", "--data", data))
	require.Regexp(t, `^\S{36} \w+\n$`, done(t, "send", "600111223", "hola", "--class", "otp", "--data", data))
	// One that the network refuses: the state on stdout, why on stderr.
	r := recado(t, "", "send", "609998001", "hola", "--wait", "--data", data)
	require.Equal(t, 1, r.code)
	require.Regexp(t, `^\S{36} failed\n$`, r.out)
	require.Regexp(t, `^recado: the message is failed.*\n$`, r.err)
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20*time.Second))

	r = recado(t, "", "send", "600111224", "hola", "--wait", "--data", data)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "no recado is running on this data")
	r = recado(t, "", "send", "600111225", "sale luego", "--data", data)
	require.Zero(t, r.code)
	require.Regexp(t, `^\S{36} queued\n$`, r.out)
	require.Contains(t, r.err, "the message leaves when recado serve runs")
	require.Contains(t, done(t, "status", "--data", data), "queued: 1")
	require.Contains(t, recado(t, "", "console", "-c", "modem list", "--data", data).err, "recado is not running")

	again := serving(t, data, "--emulate", "1")
	again.becomes(r.out[:36], "delivered")
}

func TestOrderlyStopWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	data, ptys := dataFolder(t), t.TempDir()
	network := launch(t, "emulate", "--modems", "1", "--dir", ptys, "--latency", "3s", "--ledger", filepath.Join(ptys, "ledger"))
	network.says("(?m)^ready$")
	d := serving(t, data, "--modem", filepath.Join(ptys, "modem0"))
	d.lines(1)
	first := d.send("600111222", "in flight")
	second := d.send("600111223", "behind it")
	d.becomes(first, "sending")
	d.signal(syscall.SIGTERM)
	d.says("waiting for the network's answers.*submissions=1")
	_, err := http.Get(d.url + "/health/live")
	require.Error(t, err, "HTTP goes first")
	require.Zero(t, d.ends(20*time.Second))
	require.NotContains(t, d.Output(), "level=ERROR")

	again := serving(t, data)
	require.Equal(t, "sent", again.message(first).State, "its answer was waited for")
	require.Equal(t, "queued", again.message(second).State, "nothing new was begun")
}

func TestASecondSignalCutsItShort(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data, "--emulate", "1")
	d.lines(1)
	id := d.send("609999302", "never answered")
	d.becomes(id, "sending")
	d.signal(syscall.SIGTERM)
	d.says("waiting for the network's answers")
	d.signal(syscall.SIGINT)
	require.Equal(t, 1, d.ends(8*time.Second))
	require.Regexp(t, `(?m)^recado: .*still waiting for the network's answer`, d.Output())

	again := serving(t, data)
	require.Equal(t, "uncertain", again.message(id).State, "nobody knows, and so it says")
}

// TestKilledDaemonKeepsWhatItAcknowledged: 202 means on disk.
func TestKilledDaemonKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data, "--emulate", "2")
	d.lines(2)
	const clients = 8
	var (
		mu    sync.Mutex
		acked []string
		wg    sync.WaitGroup
	)
	some := make(chan struct{})
	for range clients {
		wg.Go(func() {
			for {
				var out posted
				status, err := d.try("POST", "/api/v1/messages", map[string]any{"to": "600111222", "text": "kept"}, &out)
				if err != nil || status != http.StatusAccepted || len(out.Messages) != 1 {
					return // killed
				}
				mu.Lock()
				acked = append(acked, out.Messages[0].ID)
				if len(acked) == 300 {
					close(some)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-some:
	case <-time.After(60 * time.Second):
		t.Fatal("300 messages were not accepted in a minute")
	}
	d.signal(syscall.SIGKILL)
	wg.Wait()
	require.Equal(t, -1, d.ends(5*time.Second))

	again := serving(t, data)
	for _, id := range acked {
		require.Equal(t, id, again.message(id).ID)
	}
}

// TestSystemdIsTold: readiness, the watchdog while all moves, the stop.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	address := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenPacket("unixgram", address)
	require.NoError(t, err)
	defer socket.Close()
	hears := func(what string) {
		t.Helper()
		buf := make([]byte, 256)
		require.NoError(t, socket.SetReadDeadline(time.Now().Add(30*time.Second)))
		for {
			n, _, err := socket.ReadFrom(buf)
			require.NoError(t, err, "systemd was not told %s", what)
			if string(buf[:n]) == what {
				return
			}
		}
	}
	d := launchWith(t, []string{"NOTIFY_SOCKET=" + address, "WATCHDOG_USEC=600000"},
		"serve", "--data", dataFolder(t), "--listen", "127.0.0.1:0", "--emulate", "1")
	hears("EXTEND_TIMEOUT_USEC=60000000") // while the database is opened
	hears("READY=1")
	hears("WATCHDOG=1")
	hears("WATCHDOG=1")
	d.signal(syscall.SIGTERM)
	hears("STOPPING=1")
	require.Zero(t, d.ends(20*time.Second))
}
