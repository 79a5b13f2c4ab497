package shim_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

const inside = "RECADO_TEST_SHIMMED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(inside); dir != "" {
		if err := shimmed(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// shimmed writes one row, says so in the log, and another that the fault hits.
func shimmed(dir string) error {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "recado.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	put := func(key string) error {
		return db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, '')`, key)
			return err
		})
	}
	if err := put("needle"); err != nil {
		return err
	}
	if err := shim.Mark([]byte("acknowledged")); err != nil {
		return err
	}
	if err := (shim.Fault{Call: shim.OnSync, Errno: syscall.EIO, Times: 1, File: "-wal"}).Set(filepath.Join(dir, "fault")); err != nil {
		return err
	}
	if err := put("refused"); err == nil {
		return fmt.Errorf("a commit whose fsync failed was taken for good")
	}
	return shim.Mark([]byte("refused"))
}

func TestTheLogHoldsWhatSQLiteDidInOrder(t *testing.T) {
	dir := t.TempDir()
	library, err := shim.Build(dir)
	require.NoError(t, err)
	log := filepath.Join(dir, "log")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(shim.Env(library, log, filepath.Join(dir, "fault")), inside+"="+dir)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	data, err := os.ReadFile(log)
	require.NoError(t, err)
	var needle, synced, acknowledged, failed, refused int
	var wal []byte
	var durable int
	n := 0
	require.NoError(t, shim.Read(bytes.NewReader(data[:len(data)-1]), func(r shim.Record) error {
		n++
		switch {
		case r.Kind == shim.Write && r.File == "recado.db-wal":
			if end := int(r.At) + len(r.Data); end > len(wal) {
				wal = append(wal, make([]byte, end-len(wal))...)
			}
			copy(wal[r.At:], r.Data)
			if needle == 0 && bytes.Contains(r.Data, []byte("needle")) {
				needle = n
			}
		case r.Kind == shim.Sync && r.File == "recado.db-wal" && needle > 0 && synced == 0:
			require.Zero(t, r.Errno)
			synced = n
		case r.Kind == shim.Sync && r.Errno == syscall.EIO:
			failed = n
		case r.Kind == shim.Marker && string(r.Data) == "acknowledged":
			acknowledged, durable = n, len(wal)
		}
		return nil
	}))
	require.NoError(t, shim.Read(bytes.NewReader(data), func(r shim.Record) error {
		if r.Kind == shim.Marker && string(r.Data) == "refused" {
			refused++
		}
		return nil
	}))
	require.Positive(t, needle)
	require.Less(t, needle, synced)
	require.Less(t, synced, acknowledged)
	require.Less(t, acknowledged, failed)
	require.Equal(t, 1, refused)
	onDisk, err := os.ReadFile(filepath.Join(dir, "recado.db-wal"))
	require.NoError(t, err)
	require.Equal(t, wal[:durable], onDisk[:durable], "what the log says was written is what the file has")
	require.Error(t, shim.Read(bytes.NewReader(bytes.Repeat([]byte("x"), 100)), nil))
	require.Error(t, shim.Mark(nil), "a process without a log")
}
