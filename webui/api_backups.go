package webui

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"recado/queue/backup"
)

// Backups are the automatic copies of the data.
type Backups struct {
	LastAt    *time.Time   `json:"last_at" doc:"When the newest good one was made; null: there is none"`
	NextAt    *time.Time   `json:"next_at" doc:"When the next is due"`
	CheckedAt *time.Time   `json:"checked_at" doc:"When the whole of a copy was last checked"`
	Paused    bool         `json:"paused" doc:"There is too little room to make one"`
	Error     *string      `json:"error" doc:"Why the last attempt failed"`
	Folder    *string      `json:"folder" doc:"The second place that copies go to"`
	Items     []BackupCopy `json:"items" nullable:"false" doc:"Those in the data folder, newest first"`
}

// BackupCopy is one of them.
type BackupCopy struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	Size int64     `json:"size_bytes"`
}

// maxCopies of a list: as many as an hour's and a day's rotation keep, and more.
const maxCopies = 200

func (s *Server) backups() (Backups, error) {
	if s.care.Backups == nil {
		return Backups{}, newProblem(http.StatusConflict, "automatic backups are made by a running recado serve only")
	}
	st := s.care.Backups.Status()
	b := Backups{LastAt: when(st.LastAt), NextAt: when(st.NextAt), CheckedAt: when(st.CheckedAt), Paused: st.Paused,
		Error: some(st.Error), Folder: some(st.Folder), Items: []BackupCopy{}}
	if s.care.Copies == nil {
		return b, nil
	}
	list, err := s.care.Copies()
	if err != nil {
		return b, err
	}
	for i := len(list) - 1; i >= 0 && len(b.Items) < maxCopies; i-- {
		b.Items = append(b.Items, BackupCopy{filepath.Base(list[i].Path), list[i].At.UTC(), list[i].Size})
	}
	return b, nil
}

type backupsOut struct{ Body Backups }

func (s *Server) listBackups() *operation {
	return op(operation{id: "list-backups", tag: "Status", summary: "The automatic backups",
		description: "They are encrypted for this box. One to take away, under a passphrase, is made by `recado backup` or from the settings' page."},
		func(context.Context, *struct{}) (*backupsOut, error) {
			b, err := s.backups()
			return &backupsOut{b}, err
		})
}

func (s *Server) makeBackup() *operation {
	return op(operation{id: "make-backup", tag: "Status", summary: "Make an automatic backup now"},
		func(ctx context.Context, _ *struct{}) (*backupsOut, error) {
			if err := s.backupNow(ctx); err != nil {
				return nil, err
			}
			b, err := s.backups()
			return &backupsOut{b}, err
		})
}

func (s *Server) backupNow(ctx context.Context) error {
	if _, err := s.backups(); err != nil {
		return err
	}
	err := s.care.Backups.Make(ctx)
	if errors.Is(err, backup.ErrPaused) {
		return newProblem(http.StatusInsufficientStorage, backup.ErrPaused.Error())
	}
	if err != nil {
		return err
	}
	s.audited(ctx, "backup.make", "", "")
	return nil
}
