package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

// fill writes until nothing more fits.
func fill(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "somebody-elses")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else {
			require.NoError(t, err)
		}
	}
	require.NoError(t, f.Close())
	return file
}

func freeBytes(t *testing.T, dir string) uint64 {
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &st))
	return st.Bavail * uint64(st.Bsize)
}

// TestFullDisk (R7): with nothing free, new work gets 507 and nothing else, a
// thousand queued messages leave with their reports, what comes in is kept, and
// when there is room again new work is taken.
func TestFullDisk(t *testing.T) {
	const queued, modems = 1200, 4
	disk, here := shim.SmallDisk(t, 64)
	if !here {
		return
	}
	ptys := t.TempDir()
	network := launch(t, "emulate", "--modems", fmt.Sprint(modems), "--dir", ptys, "--latency", "20ms", "--ledger", filepath.Join(ptys, "ledger"))
	network.says("(?m)^ready$")
	var ports []string
	for i := range modems {
		ports = append(ports, "--modem", filepath.Join(ptys, fmt.Sprint("modem", i)))
	}
	data := filepath.Join(disk, "data")
	d := serving(t, data, append(ports, "--open-limits")...)
	d.lines(modems)
	require.Equal(t, http.StatusOK, d.ask("POST", "/api/v1/sending/pause", nil, nil))

	ids := make([]string, queued)
	answers := 0
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				to := fmt.Sprintf("+346001%05d", i)
				if i%40 == 0 { // the network answers these
					to = fmt.Sprintf("+346%d9999201", i/40%10)
				}
				var out posted
				status, err := d.try("POST", "/api/v1/messages", map[string]any{"to": to, "text": fmt.Sprint("queued before the disk was full ", i)}, &out)
				if err != nil || status != http.StatusAccepted || len(out.Messages) != 1 {
					t.Errorf("POST: %d %v", status, err)
					continue
				}
				ids[i] = out.Messages[0].ID
			}
		})
	}
	for i := range queued {
		if i%40 == 0 {
			answers++
		}
		next <- i
	}
	close(next)
	wg.Wait()
	eventually(t, func() bool {
		st, err := os.Stat(filepath.Join(data, "recado.db-wal"))
		return err == nil && st.Size() >= 8<<20 && d.ask("GET", "/health/ready", nil, nil) == http.StatusOK
	}, "the reserve")

	// The room is gone, and new work comes all the time.
	filler := fill(t, disk)
	require.Zero(t, freeBytes(t, disk))
	var refused, other, slowest atomic.Int64
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			begun := time.Now()
			class := []string{"normal", "alert", "otp", "bulk"}[refused.Load()%4]
			status, err := d.try("POST", "/api/v1/messages", map[string]any{"to": "+34600222333", "text": "too late", "class": class}, nil)
			slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
			if err != nil || status != http.StatusInsufficientStorage {
				other.Add(1)
				t.Errorf("POST while the disk is full: %d %v", status, err)
				return
			}
			refused.Add(1)
		}
	})
	require.Equal(t, http.StatusOK, d.ask("POST", "/api/v1/sending/resume", nil, nil))
	begun := time.Now()
	state := func(id string) string { return d.message(id).State }
	last := time.Now().Add(3 * time.Minute)
	for _, id := range ids {
		for s := state(id); s != "delivered"; s = state(id) {
			require.NotContains(t, []string{"failed", "uncertain", "expired", "held"}, s)
			require.True(t, time.Now().Before(last), "message %s is %s", id, s)
			<-time.After(20 * time.Millisecond)
		}
	}
	var in struct{ Items []struct{ From, Text string } }
	eventually(t, func() bool {
		d.ask("GET", "/api/v1/inbox?limit=500", nil, &in)
		return len(in.Items) == answers
	}, fmt.Sprintf("%d answers received", answers))
	require.Zero(t, freeBytes(t, disk), "all of that without room")
	t.Logf("%d messages delivered and %d received in %v with nothing free; %d POSTs got 507, the slowest after %v",
		queued, answers, time.Since(begun).Round(time.Millisecond), refused.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))
	close(stop)
	wg.Wait()
	require.Positive(t, refused.Load())
	require.Equal(t, http.StatusOK, d.ask("GET", "/api/v1/messages?limit=50", nil, nil))

	// Room again.
	require.NoError(t, os.Remove(filler))
	begun = time.Now()
	for {
		status := d.ask("POST", "/api/v1/messages", map[string]any{"to": "+34600222333", "text": "in time"}, nil)
		if status == http.StatusAccepted {
			break
		}
		require.Equal(t, http.StatusInsufficientStorage, status)
		require.Less(t, time.Since(begun), 5*time.Second)
		<-time.After(50 * time.Millisecond)
	}
	t.Logf("new work was taken %v after the room was there", time.Since(begun).Round(time.Millisecond))
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(60*time.Second))
	_, err := sqlite.Check(t.Context(), filepath.Join(data, "recado.db"))
	require.NoError(t, err)
}
