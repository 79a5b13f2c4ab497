package main

import (
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestALostLogIsTold: a daemon is killed and the log of its database spoilt. The next one
// says that something may be missing, and sends nothing of what it has by itself, until
// somebody has taken note. Killed with its log in place, it says nothing.
func TestALostLogIsTold(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	wal := dataDir(data).database() + "-wal"
	health := func(d *appliance) string {
		var health struct {
			Checks []struct{ Name, Status string }
		}
		require.Equal(t, http.StatusOK, d.ask("GET", "/health/ready", nil, &health))
		for _, c := range health.Checks {
			if c.Name == "data" {
				return c.Status
			}
		}
		return "none"
	}
	d := serving(t, data)
	for _, row := range []struct {
		name  string
		spoil func() error
		lost  bool
	}{
		{"nothing", func() error { return nil }, false},
		{"missing", func() error { return os.Remove(wal) }, true},
		{"nothing again", func() error { return nil }, false},
		{"cut in half", func() error {
			st, err := os.Stat(wal)
			if err != nil {
				return err
			}
			return os.Truncate(wal, min(st.Size()/2, 32+4120*2))
		}, true},
	} {
		d.send("600111222", "Hola")
		eventually(t, func() bool { _, err := os.Stat(dataDir(data).database() + ".wal-note"); return err == nil }, "the reserve is made")
		d.send("600111222", "Hola otra vez")
		d.signal(syscall.SIGKILL)
		d.ends(10 * time.Second)
		require.NoError(t, row.spoil(), row.name)
		d = serving(t, data) // its key may have been in the log
		found := recado(t, "", "doctor", "--json", "--data", data).out
		if !row.lost {
			require.Equal(t, "pass", health(d), row.name)
			require.NotContains(t, found, "log_lost", row.name)
			continue
		}
		require.Equal(t, "warn", health(d), row.name)
		require.Contains(t, found, "data_log_lost", row.name)
		require.Contains(t, d.Output(), "log of the last moments is not whole", row.name)
		d.signal(syscall.SIGKILL) // it is told until somebody has taken note
		d.ends(10 * time.Second)
		d = serving(t, data)
		require.Equal(t, "warn", health(d), row.name)
		require.NoError(t, dataDir(data).folder(nil).Acknowledge())
		require.Equal(t, "pass", health(d), row.name)
	}
}

// TestALostLogHoldsWhatIsOpen: what the file still calls unfinished may have been sent.
func TestALostLogHoldsWhatIsOpen(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data)
	d.send("600111222", "Hola")
	eventually(t, func() bool { _, err := os.Stat(dataDir(data).database() + ".wal-note"); return err == nil }, "the reserve is made")
	d.signal(syscall.SIGTERM) // into the file
	d.ends(10 * time.Second)
	d = serving(t, data)
	d.send("600111222", "Hola otra vez")
	eventually(t, func() bool { _, err := os.Stat(dataDir(data).database() + ".wal-note"); return err == nil }, "the reserve is made")
	d.signal(syscall.SIGKILL)
	d.ends(10 * time.Second)
	require.NoError(t, os.Remove(dataDir(data).database()+"-wal"))
	d = serving(t, data)
	var list struct {
		Items []struct{ State, Reason string }
	}
	require.Equal(t, http.StatusOK, d.ask("GET", "/api/v1/messages", nil, &list))
	require.Len(t, list.Items, 1, "the other was in the log")
	require.Equal(t, "held", list.Items[0].State)
	require.Equal(t, "restored", list.Items[0].Reason)
}
