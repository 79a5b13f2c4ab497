package auth

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"

	"recado/queue/sqlite"
)

// SessionPerson is the key under which a session's data names its person. The
// store reads it, so that all sessions of a person can be ended.
const SessionPerson = "person"

// Sessions is the store of the browser's sessions. It holds SHA-256 sums: who
// reads the database cannot sign in with it.
func (s *Store) Sessions() scs.Store { return sessions{s} }

type sessions struct{ s *Store }

// FindCtx implements scs.CtxStore.
func (st sessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	sum := sha256.Sum256([]byte(token))
	var data []byte
	err := st.s.db.Read().QueryRowContext(ctx,
		`SELECT data FROM session WHERE token = ? AND expiry > ?`, sum[:], st.s.Steady().UnixMilli()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// CommitCtx implements scs.CtxStore. It sweeps out what has expired: sessions
// are committed seldom enough for that.
func (st sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	sum := sha256.Sum256([]byte(token))
	_, values, err := scs.GobCodec{}.Decode(data)
	if err != nil {
		return err
	}
	person, _ := values[SessionPerson].(string)
	return st.s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`DELETE FROM session WHERE expiry <= ?`, st.s.Steady().UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO session(token, data, expiry, person) VALUES (?,?,?,?)
			ON CONFLICT(token) DO UPDATE SET data = excluded.data, expiry = excluded.expiry, person = excluded.person`,
			sum[:], data, expiry.UnixMilli(), person)
		return err
	})
}

// DeleteCtx implements scs.CtxStore.
func (st sessions) DeleteCtx(ctx context.Context, token string) error {
	sum := sha256.Sum256([]byte(token))
	return st.s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DELETE FROM session WHERE token = ?`, sum[:])
		return err
	})
}

// Find, Commit and Delete implement scs.Store; scs takes those with a context.

func (st sessions) Find(token string) ([]byte, bool, error) {
	return st.FindCtx(context.Background(), token)
}
func (st sessions) Commit(token string, data []byte, expiry time.Time) error {
	return st.CommitCtx(context.Background(), token, data, expiry)
}
func (st sessions) Delete(token string) error { return st.DeleteCtx(context.Background(), token) }
