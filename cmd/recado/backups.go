package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"recado/pool"
	"recado/queue/backup"
	"recado/queue/sqlite"
	"recado/webui"
)

// minBackupEvery keeps a slip from wearing out a card.
const minBackupEvery = time.Minute

// keeper makes the automatic backups of an open database.
func (b backupFlags) keeper(dir dataDir, kept *stores, clock backup.Clock, log *slog.Logger) (*backup.Keeper, error) {
	src, err := dir.source()
	if err != nil {
		return nil, err
	}
	return backup.NewKeeper(backup.Options{
		Source: src, Key: kept.key, Folder: b.BackupDir, Passphrase: b.passphrase,
		Every: b.BackupEvery, Hourly: b.BackupHourly, Daily: b.BackupDaily,
		Room: diskRoom, Low: kept.low, Clock: clock, Log: log,
	}), nil
}

// diskRoom is the room on the disk of a folder, in octets.
func diskRoom(folder string) (free, total int64, err error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		return 0, 0, fmt.Errorf("ask for the room in %s: %w", folder, err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), int64(disk.Blocks) * int64(disk.Bsize), nil
}

// backupFindings are about the automatic backups, and about what was done when the
// database was found damaged.
func backupFindings(dir dataDir, keeper *backup.Keeper) []pool.Finding {
	var list []pool.Finding
	if alarm, err := dir.folder(nil).Alarm(); err == nil && alarm != nil {
		facts := map[string]string{"what": alarm.What, "at": alarm.At.UTC().Format("2006-01-02 15:04 UTC"), "quarantine": alarm.Quarantine,
			"copied": "", "held": fmt.Sprint(alarm.Open), "reason": alarm.Reason,
			"kept": fmt.Sprint(alarm.Messages), "received": fmt.Sprint(alarm.Inbound), "lost": "", "lostin": "", "added": "", "tables": strings.Join(alarm.Broken, ", ")}
		if alarm.LostMessages+alarm.LostInbound > 0 {
			facts["lost"], facts["lostin"] = fmt.Sprint(alarm.LostMessages), fmt.Sprint(alarm.LostInbound)
		}
		if n := alarm.AddedMessages + alarm.AddedInbound; n > 0 {
			facts["added"] = fmt.Sprint(n)
		}
		if !alarm.CopiedAt.IsZero() {
			facts["copied"] = alarm.CopiedAt.UTC().Format("2006-01-02 15:04 UTC")
		}
		list = append(list, pool.NewFinding("data_"+alarm.What, pool.FindingFail, pool.AboutProgram, "", facts))
	}
	if keeper == nil {
		return list
	}
	s := keeper.Status()
	if s.Error != "" {
		facts := map[string]string{"reason": s.Error, "last": "", "folder": s.Folder}
		if !s.LastAt.IsZero() {
			facts["last"] = s.LastAt.UTC().Format("2006-01-02 15:04 UTC")
		}
		code := "backup_failed"
		if s.Paused {
			code = "backup_paused"
		}
		list = append(list, pool.NewFinding(code, pool.FindingWarn, pool.AboutProgram, "", facts))
	}
	return list
}

// backupChecks are the same for /health/ready.
func backupChecks(dir dataDir, keeper *backup.Keeper) []webui.Check {
	if keeper == nil {
		return nil
	}
	check := webui.Check{Name: "backups", Status: webui.Pass}
	if s := keeper.Status(); s.Error != "" {
		check.Status, check.Detail = webui.Warn, s.Error
	}
	data := webui.Check{Name: "data", Status: webui.Pass}
	if alarm, err := dir.folder(nil).Alarm(); err != nil {
		data.Status, data.Detail = webui.Warn, err.Error()
	} else if alarm != nil {
		data.Status, data.Detail = webui.Warn, "the database or its log was found damaged ("+alarm.What+"): see recado doctor"
	}
	return []webui.Check{check, data}
}

// openDatabase opens the database of a locked folder. One that is damaged is put aside, and
// what can still be read of it takes its place, or the newest good automatic backup.
func openDatabase(ctx context.Context, dir dataDir, key []byte, log *slog.Logger) (*sqlite.DB, error) {
	reason := dir.lost()
	if reason == nil {
		db, err := sqlite.Open(ctx, dir.database(), sqlite.Options{Log: log})
		if err == nil || !sqlite.IsDamage(err) {
			return db, err
		}
		reason = err
	}
	return recoverDatabase(ctx, dir, key, log, reason)
}

// recoverDatabase puts a damaged database aside, and opens what takes its place.
func recoverDatabase(ctx context.Context, dir dataDir, key []byte, log *slog.Logger, reason error) (*sqlite.DB, error) {
	// What the service manager shows of a start that takes its time; extendStart asks for that.
	say := func(text string) { _, _ = daemon.SdNotify(false, "STATUS="+text) }
	say("the database is damaged; reading what is left of it")
	if _, err := dir.folder(log).Recover(ctx, key, reason, backup.RestoreOptions{At: time.Now(), Free: dir.free, Say: say}); err != nil {
		return nil, fmt.Errorf("save what the damaged database holds: %w", err)
	}
	say("")
	return sqlite.Open(ctx, dir.database(), sqlite.Options{Log: log})
}

// lost says that the database is gone although there was one: SQLite would begin an empty
// one, and throw away a WAL that it finds.
func (d dataDir) lost() error {
	if info, err := os.Stat(d.database()); err == nil && info.Size() > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if wal, err := os.Stat(d.database() + "-wal"); err == nil && wal.Size() > 0 {
		return fmt.Errorf("%w: recado.db is empty or gone, only its WAL is there", sqlite.ErrDamaged)
	}
	if list, err := backup.Copies(backup.LocalFolder(string(d))); err == nil && len(list) > 0 {
		return fmt.Errorf("%w: recado.db is empty or gone, only its backups are there", sqlite.ErrDamaged)
	}
	if _, err := os.Stat(d.instanceFile()); err == nil { // made after the first database
		return fmt.Errorf("%w: recado.db is empty or gone, and this is no new folder", sqlite.ErrDamaged)
	}
	return nil
}

// asOwner does something with the rights of the folder's owner instead of root's, and takes
// those back afterwards.
func (d dataDir) asOwner(do func() error) (err error) {
	uid, gid, needed, err := d.owner(os.Geteuid())
	if err != nil {
		return err
	}
	if !needed {
		return do()
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("work on %s as its owner: %w", d, err)
	}
	defer func() {
		back := errors.Join(syscall.Setresuid(0, 0, 0), syscall.Setresgid(0, 0, 0), syscall.Setgroups(groups))
		err = errors.Join(err, back)
	}()
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setresgid(gid, gid, 0) },
		func() error { return syscall.Setresuid(uid, uid, 0) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("work on %s as its owner: %w", d, err)
		}
	}
	return do()
}
