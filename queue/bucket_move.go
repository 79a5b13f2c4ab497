package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"recado/queue/sqlite"
)

const (
	// settingMoving is a move of messages to other buckets that is not finished:
	// moving as JSON. settingBasis is what the last finished one went by.
	settingMoving = "buckets_moving"
	settingBasis  = "buckets_basis"

	// moveBatch messages are looked at in one go, movePortion of them changed in one
	// transaction, and moveBudget is what one Wake spends on it.
	moveBatch   = 2000
	movePortion = 500
	moveBudget  = 100 * time.Millisecond
	// moveSave lies between two notes of how far a move has come that changed
	// nothing.
	moveSave = 2 * time.Second
)

// movedStates may be in the wrong bucket after a change of the rules, in the order
// in which they are looked at: what leaves the first for the second meanwhile is
// put right on its way (see save), as is what comes from any other state.
var movedStates = []State{Scheduled, Queued}

// moving is how far the messages that wait have been put where the present rules
// say. One that is interrupted goes on where it was.
type moving struct {
	Rules string `json:"rules"` // tells one change of the rules from the next
	At    int    `json:"at"`    // of movedStates
	After int64  `json:"after"` // Message.Seq

	text  string // as it is stored
	saved time.Time
}

func (m moving) String() string {
	b, _ := json.Marshal(m) // strings and numbers: cannot err
	return string(b)
}

// basis is what places depend on beside the routes.
func (s *Store) basis() string { return s.numbers.Country() + " " + string(s.routes.zones.here) }

// beginMove has New, and Wake after the home country was changed, begin a move when
// what was placed last went by something else, as all that an earlier version left;
// a move that was interrupted goes on.
func (s *Store) beginMove(ctx context.Context, again bool) error {
	basis := s.basis()
	if s.routes.basis == basis && !again {
		return nil
	}
	pending, err := s.setting(ctx, settingMoving)
	if err != nil {
		return err
	}
	was, err := s.setting(ctx, settingBasis)
	if err != nil {
		return err
	}
	if again || was != basis {
		var any bool
		err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
			err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_state WHERE state IN ('scheduled','queued'))`).Scan(&any)
			if err != nil {
				return err
			}
			if any {
				if err := set(tx, settingMoving, newMove()); err != nil {
					return err
				}
			}
			return set(tx, settingBasis, basis)
		})
		if err != nil {
			return err
		}
		if any {
			pending = "begun"
		}
	}
	s.routes.basis = basis
	if pending != "" {
		s.routes.pending.Store(true)
	}
	return nil
}

// isRestored: the database is a backup's, or was put together from what could be
// read of a damaged one, and that has not been looked at yet.
func (s *Store) isRestored(ctx context.Context) (bool, error) {
	epoch, err := s.setting(ctx, settingEpoch)
	if err != nil {
		return false, err
	}
	handled, err := s.setting(ctx, settingHandled)
	return epoch != handled, err
}

// startRoutes has New see to what waits, or waits to be released: again, when its
// buckets may not be there.
func (s *Store) startRoutes(ctx context.Context, again bool) error {
	again = again || s.routes.pending.Load()
	if err := s.beginMove(ctx, again); err != nil {
		return err
	}
	if again {
		if err := s.db.Write(ctx, sqlite.Ordinary, s.house); err != nil {
			return err
		}
	}
	var any bool
	err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_prefer WHERE prefer_until > 0)`).Scan(&any)
	if err != nil || !any {
		return err
	}
	return s.db.Write(ctx, sqlite.Ordinary, s.unstick)
}

// house puts what has begun, which no move touches, into a bucket that is there: of
// one that is not nobody is offered anything.
func (s *Store) house(tx *sqlite.Tx) error {
	ids := []int64{}
	for _, b := range s.routes.now.Load().buckets {
		ids = append(ids, b.ID)
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	rows, err := tx.Query(`SELECT seq, recipient, key_id, class FROM message INDEXED BY message_state
		WHERE (state IN ('held','sending','uncertain') OR state = 'queued' AND segments > 1) AND bucket NOT IN (SELECT value FROM json_each(?))`, string(list))
	if err != nil {
		return fmt.Errorf("look what is in no bucket: %w", err)
	}
	defer rows.Close()
	var stray []waiting
	for rows.Next() {
		var w waiting
		if _, err := Scanned(rows, &w.seq, &w.to, &w.key, &w.class); err != nil {
			return fmt.Errorf("look what is in no bucket: %w", err)
		}
		stray = append(stray, w)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, w := range stray {
		bucket, err := s.bucketIn(tx, s.placeOf(w.to, w.class, w.key).spot)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE message SET bucket = ? WHERE seq = ?`, bucket, w.seq); err != nil {
			return fmt.Errorf("put a message into a bucket: %w", err)
		}
	}
	return nil
}

// waiting is a message as moveOn sees it.
type waiting struct {
	seq, bucket int64
	to, key     string
	class       Class
	place       place
}

const waitingSQL = `SELECT seq, bucket, recipient, key_id, class FROM message INDEXED BY message_state WHERE state = ? AND seq > ? ORDER BY seq LIMIT ?`

// moveOn goes on putting waiting messages where the rules say. What has begun is
// left as it is: claimed, or a long one of which a part has left or may have. next is
// now when its time was over before the work was. In the meantime a claim looks for
// itself: see misplaced.
func (s *Store) moveOn(ctx context.Context, n instant) (next time.Time, err error) {
	if err := s.beginMove(ctx, false); err != nil {
		return next, fmt.Errorf("look whether messages are where the routes say: %w", err)
	}
	if !s.routes.pending.Load() {
		return next, nil
	}
	begun := time.Now() // monotonic
	for time.Since(begun) < moveBudget {
		done, err := s.moveSome(ctx)
		if err != nil {
			return next, fmt.Errorf("put messages where the routes say: %w", err)
		}
		if done {
			return next, nil
		}
	}
	return n.now, nil
}

// moveSome looks at the next few; done: there are none.
func (s *Store) moveSome(ctx context.Context) (done bool, err error) {
	m := &s.routes.moving // Wake is not called twice at once
	text, err := s.setting(ctx, settingMoving)
	if err != nil {
		return false, err
	}
	if text == "" {
		s.routes.pending.Store(false)
		return true, nil
	}
	if text != m.text { // begun anew, or by an earlier run
		*m = moving{}
		if json.Unmarshal([]byte(text), m) != nil || m.At < 0 || m.At >= len(movedStates) {
			*m = moving{}
		}
		m.text, m.saved = text, time.Now()
	}
	on := s.routes.now.Load()
	list, err := s.waiting(ctx, movedStates[m.At], m.After)
	if err != nil {
		return false, err
	}
	var wrong []waiting
	next := *m
	for _, w := range list {
		next.After = w.seq
		if w.place.on.gen != on.gen {
			return false, nil // the rules have changed: from the start
		}
		if id, ok := on.ids[w.place.spot]; !ok || id != w.bucket {
			wrong = append(wrong, w)
		}
	}
	if len(list) < moveBatch {
		next.At, next.After = m.At+1, 0
	}
	return next.At == len(movedStates), s.moveThese(ctx, on, wrong, next)
}

// waiting reads the next few messages of a state and works out where they belong.
func (s *Store) waiting(ctx context.Context, state State, after int64) ([]waiting, error) {
	rows, err := s.db.Read().QueryContext(ctx, waitingSQL, string(state), after, moveBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []waiting
	for rows.Next() {
		var w waiting
		if _, err := Scanned(rows, &w.seq, &w.bucket, &w.to, &w.key, &w.class); err != nil {
			return nil, err
		}
		w.place = s.placeOf(w.to, w.class, w.key)
		list = append(list, w)
	}
	return list, rows.Err()
}

// moveThese changes the buckets of some messages, in portions, the last of which
// notes how far that is.
func (s *Store) moveThese(ctx context.Context, on *routing, wrong []waiting, next moving) error {
	m := &s.routes.moving
	for {
		some := wrong[:min(len(wrong), movePortion)]
		wrong = wrong[len(some):]
		last := len(wrong) == 0
		end := next.At == len(movedStates)
		if last && len(some) == 0 && !end && time.Since(m.saved) < moveSave {
			text, saved := m.text, m.saved
			*m = next
			m.text, m.saved = text, saved
			return nil
		}
		var same bool
		err := s.db.Write(ctx, sqlite.LaneOf(len(some)), func(tx *sqlite.Tx) (err error) {
			same = false
			if s.routes.now.Load().gen != on.gen {
				return nil
			}
			for _, w := range some {
				if err := s.moveTo(tx, w); err != nil {
					return err
				}
			}
			if len(some) > 0 {
				tx.AfterCommit(s.readied)
			}
			if same = true; !last {
				return nil
			}
			same, err = s.noteMove(tx, m.text, next, end)
			return err
		})
		if err != nil {
			return err
		}
		if !same { // the next look finds another move
			m.text = ""
			return nil
		}
		if last {
			*m = next
			m.text, m.saved = next.String(), time.Now()
			return nil
		}
	}
}

// moveTo puts one message where it belongs, unless it has begun meanwhile.
func (s *Store) moveTo(tx *sqlite.Tx, w waiting) error {
	bucket, err := s.bucketIn(tx, w.place.spot)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE message SET bucket = ?1 WHERE seq = ?2 AND bucket <> ?1 AND state IN ('scheduled','queued') AND claimed_by = ''
		AND NOT (segments > 1 AND ambiguous > ambiguous_before)`, bucket, w.seq)
	return err
}

// noteMove notes how far a move is; false: another one has begun.
func (s *Store) noteMove(tx *sqlite.Tx, was string, next moving, end bool) (bool, error) {
	query, args := `UPDATE setting SET value = ?3 WHERE key = ?1 AND value = ?2`, []any{settingMoving, was, next.String()}
	if end {
		query, args = `DELETE FROM setting WHERE key = ? AND value = ?`, args[:2]
	}
	res, err := tx.Exec(query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if n == 1 && end {
		tx.AfterCommit(func() { s.routes.pending.Store(false) })
	}
	return n == 1, err
}

// misplaced is for a message that has just been claimed, as long as a move is not
// finished: one that belongs elsewhere is put there and is nobody's again. true:
// claim another.
func (s *Store) misplaced(tx *sqlite.Tx, r *record) (bool, error) {
	if !s.routes.pending.Load() || r.torn || r.bound() || r.wish != "" {
		return false, nil
	}
	p := s.placeOf(r.To, r.Class, r.keyID)
	bucket, err := s.bucketIn(tx, p.spot)
	if err != nil {
		return false, err
	}
	strays := r.Preferred && !p.on.allows(p.route, r.SIM)
	if bucket == r.Bucket && !strays {
		return false, nil
	}
	r.Bucket, r.claimedBy = bucket, ""
	if strays {
		r.letGo()
	}
	_, err = tx.Exec(`UPDATE message SET bucket = ?, sim = ?, prefer_until = ?, claimed_by = '' WHERE seq = ?`, bucket, r.SIM, r.preferUntil, r.Seq)
	tx.AfterCommit(s.readied)
	return true, err
}

// rebucket puts a message that goes back to where lines find it, or waits for its
// time, where the rules of now say. What has begun keeps its bucket: it is bound to
// its SIM.
func (s *Store) rebucket(tx *sqlite.Tx, r *record) (err error) {
	if r.State != Queued && r.State != Scheduled && r.State != Sending || r.claimedBy != "" || r.torn || r.open() || r.bound() {
		return nil
	}
	p := s.placeOf(r.To, r.Class, r.keyID)
	if r.Bucket, err = s.bucketIn(tx, p.spot); err != nil {
		return err
	}
	if r.Preferred && !p.on.allows(p.route, r.SIM) {
		r.letGo()
	}
	return nil
}

// rebucketAll is rebucket for messages that are released together.
func (s *Store) rebucketAll(tx *sqlite.Tx, list string) error {
	rows, err := tx.Query(`SELECT seq, bucket, recipient, key_id, class FROM message WHERE seq IN (SELECT value FROM json_each(?)) AND state IN ('scheduled','queued')`, list)
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []waiting
	for rows.Next() {
		var w waiting
		if _, err := Scanned(rows, &w.seq, &w.bucket, &w.to, &w.key, &w.class); err != nil {
			return err
		}
		w.place = s.placeOf(w.to, w.class, w.key)
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	_ = rows.Close()
	for _, w := range all {
		if id, ok := w.place.on.ids[w.place.spot]; ok && id == w.bucket {
			continue
		}
		if err := s.moveTo(tx, w); err != nil {
			return fmt.Errorf("put message %s where the routes say: %w", strconv.FormatInt(w.seq, 10), err)
		}
	}
	return nil
}

// rebucketThese is rebucketAll for messages whose claims are given back: a move has
// passed them over.
func (s *Store) rebucketThese(tx *sqlite.Tx, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	return s.rebucketAll(tx, string(list))
}
