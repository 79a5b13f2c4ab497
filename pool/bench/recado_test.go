package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// built is the real binary, made once for all.
var built struct {
	once   sync.Once
	folder string
	out    []byte
	err    error
}

func recado(b *testing.B) string {
	b.Helper()
	if given := os.Getenv("RECADO_BENCH_BINARY"); given != "" {
		return given
	}
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "recado-bench"); built.err != nil {
			return
		}
		// As `make build` makes it.
		command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(built.folder, "recado"), "recado/cmd/recado")
		command.Env = append(os.Environ(), "CGO_ENABLED=1")
		built.out, built.err = command.CombinedOutput()
	})
	require.NoError(b, built.err, "%s", built.out)
	return filepath.Join(built.folder, "recado")
}

// box is a recado with its data folder.
type box struct {
	b            *testing.B
	folder, addr string
	key          string
	client       *http.Client
}

func newBox(b *testing.B, folder string) *box {
	b.Helper()
	return &box{b: b, folder: filepath.Join(folder, "data"), addr: fmt.Sprintf("127.0.0.1:%d", freePort(b)),
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// serve starts the daemon on these ports.
func (x *box) serve(ports ...string) *exec.Cmd {
	x.b.Helper()
	args := []string{"serve", "--data", x.folder, "--listen", x.addr, "--open-limits", "--trust-clock"}
	for _, port := range ports {
		args = append(args, "--modem", port)
	}
	command := exec.Command(recado(x.b), args...)
	log, err := os.OpenFile(x.folder+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(x.b, err)
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	start(x.b, command)
	return command
}

// ready waits until the API answers, and has a key then.
func (x *box) ready() {
	x.b.Helper()
	within(x.b, "recado listens", func() bool { return reachable(x.addr) })
	if x.key != "" {
		return
	}
	within(x.b, "a key", func() bool {
		out, err := exec.Command(recado(x.b), "key", "create", "--name", "bench", "--scope", "admin", "--data", x.folder).Output()
		x.key = strings.TrimSpace(string(out))
		return err == nil && x.key != ""
	})
}

// submit queues one text for some recipients.
func (x *box) submit(class string, to ...string) error {
	body, err := json.Marshal(map[string]any{"to": to, "text": text, "class": class})
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+x.addr+"/api/v1/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+x.key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := x.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", resp.Status, said)
	}
	return err
}

// fill queues n messages.
func (x *box) fill(class string, n int) {
	x.b.Helper()
	for begin := 0; begin < n; begin += 500 {
		var to []string
		for i := begin; i < min(begin+500, n); i++ {
			to = append(to, number(i))
		}
		require.NoError(x.b, x.submit(class, to...))
	}
}

// prepareRecado queues the messages while no modem is there.
func prepareRecado(b *testing.B, s *site) {
	x := newBox(b, s.folder)
	daemon := x.serve()
	x.ready()
	x.fill("normal", s.messages)
	stop(daemon)
}

// startRecado is the whole appliance: pages, API, database.
func startRecado(b *testing.B, s *site) []*exec.Cmd {
	return []*exec.Cmd{newBox(b, s.folder).serve(s.ports...)}
}

func reachable(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// freePort is a TCP port that was free a moment ago.
func freePort(b *testing.B) int {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// within waits for something that another process does.
func within(b *testing.B, what string, f func() bool) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		require.True(b, time.Now().Before(deadline), what)
	}
}
