package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"recado/queue"
	"recado/queue/backup"
	"recado/webui"
)

// care is what the pages need to look after the data; keeper may be nil.
func (d dataDir) care(kept *stores, clock queue.Clock, keeper *backup.Keeper) webui.Care {
	c := webui.Care{
		Health: kept.db.Health,
		Rescue: d.folder(nil),
		Archive: func(ctx context.Context, secret backup.Secret) (webui.Archive, error) {
			return d.archive(ctx, secret, clock)
		},
		Erase: func(ctx context.Context, number, who string) (webui.Erased, error) {
			return kept.erase(ctx, keeper, number, who)
		},
	}
	if vouched, ok := clock.(webui.Timekeeper); ok {
		c.Time = vouched
	}
	if keeper != nil {
		c.Backups = keeper
		c.Copies = func() ([]backup.Copy, error) { return backup.Copies(backup.LocalFolder(string(d))) }
	}
	return c
}

// erase deletes a number, and then has the automatic backups replaced; keeper
// may be nil. What becomes of those is told by its Status.
func (s *stores) erase(ctx context.Context, keeper *backup.Keeper, number, who string) (webui.Erased, error) {
	if keeper != nil && len(s.queue.Numbers().Forms(number)) > 0 {
		done, err := keeper.Erasing()
		if err != nil { // nothing would say that they must go
			return webui.Erased{}, err
		}
		defer done()
	}
	e, err := s.inbox.Erase(ctx, number, who)
	return webui.Erased{Messages: e.Messages, Inbound: e.Inbound, Reports: e.Reports, Events: e.Events}, err
}

// archive makes a backup in a file without a name, which is gone when it is
// closed, and reads it back before it gives it away.
func (d dataDir) archive(ctx context.Context, secret backup.Secret, clock queue.Clock) (a webui.Archive, err error) {
	src, err := d.source()
	if err != nil {
		return a, err
	}
	file, err := os.CreateTemp(string(d), "download-*.part")
	if err != nil {
		return a, fmt.Errorf("make a backup to take away: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make a backup to take away: %w", err), file.Close())
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return a, err
	}
	if _, err := backup.Write(ctx, src, file, secret, clock.Now()); err != nil {
		return a, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return a, err
	}
	for _, look := range []func() error{
		func() error { _, err := file.Seek(0, io.SeekStart); return err },
		func() error { _, err := backup.Verify(ctx, file, secret); return err },
		func() error { _, err := file.Seek(0, io.SeekStart); return err },
	} {
		if err := look(); err != nil {
			return a, err
		}
	}
	return webui.Archive{ReadCloser: file, Size: size}, nil
}
