package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"recado/queue/sqlite"
)

// A message that nobody asked to leave on a certain SIM prefers the one that its
// recipient knows: what he answers then lands in one conversation on his phone. It
// does for a short while only (patience), and no more than that SIM can send in it:
// message.sim names the SIM and message.prefer_until when any of its route may have
// it. The preference ends at that time (Wake), at once when the SIM cannot send
// (LetGo, LetGoOf), and at the first try, whatever comes of it.

// patience is how long a message waits for the SIM that its recipient knows: a code
// never does.
var patience = map[Class]time.Duration{Alert: 5 * time.Second, Normal: time.Minute, Bulk: 30 * time.Second}

const (
	// stickyPace is what one submission takes at least on most modems: more than
	// patience / stickyPace that go first, and the SIM will not come to it in time.
	stickyPace = 3 * time.Second
	// stickyWithin is how long a recipient knows the SIM that wrote to him.
	stickyWithin = 90 * 24 * time.Hour
	// letGoBatch are let go in one transaction.
	letGoBatch = 500
	// longestPatience is more than any: one that ends later was of another clock.
	longestPatience = 2 * time.Minute
)

// knownSQL names the SIM that each recipient knows: the one that received from him
// last, else the one that sent to him last. With one SIM in use there is no choice.
// ?1 the recipients, ?2 since when a sent one counts.
const knownSQL = `SELECT value,
		(SELECT c.iccid FROM conversation c JOIN sim s ON s.iccid = c.iccid AND s.enabled = 1 AND s.paused = 0 WHERE c.number = value AND c.last_in > 0),
		(SELECT m.sim FROM (SELECT sim, sent_at FROM message INDEXED BY message_to WHERE recipient = value ORDER BY seq DESC LIMIT 5) m
			JOIN sim s ON s.iccid = m.sim AND s.enabled = 1 AND s.paused = 0 WHERE m.sent_at > ?2 LIMIT 1)
	FROM json_each(?1) WHERE (SELECT count(*) FROM sim WHERE enabled = 1) > 1`

// shortenPrefer ends what a clock that was set, or another one, has made endless.
const shortenPrefer = `UPDATE message INDEXED BY message_prefer SET prefer_until = ?1 WHERE prefer_until > ?1 AND prefer_until > 0`

// known gives the SIM that each of the numbers knows, as far as one is in use.
func (s *Store) known(ctx context.Context, from asker, numbers []string) (map[string]string, error) {
	if len(numbers) == 0 { // nil would be JSON's null
		return nil, nil
	}
	list, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	rows, err := from.QueryContext(ctx, knownSQL, string(list), max(s.clock.Now().Add(-stickyWithin).UnixMilli(), 0))
	if err != nil {
		return nil, fmt.Errorf("look which SIMs the recipients know: %w", err)
	}
	defer rows.Close()
	var known map[string]string
	for rows.Next() {
		var number string
		var received, sent sql.NullString
		if err := rows.Scan(&number, &received, &sent); err != nil {
			return nil, fmt.Errorf("look which SIMs the recipients know: %w", err)
		}
		for _, sim := range []sql.NullString{received, sent} {
			if sim.Valid {
				if known == nil {
					known = map[string]string{}
				}
				known[number] = sim.String
				break
			}
		}
	}
	return known, rows.Err()
}

// queues counts, within one transaction, what prefers each SIM in each lane or a
// better one.
type queues map[string]*[laneCount]int

// joins says whether one more message of a class may prefer a SIM, and counts it.
func (q queues) joins(tx *sqlite.Tx, iccid string, c Class) (bool, error) {
	most := int(patience[c] / stickyPace)
	if most == 0 {
		return false, nil
	}
	n := q[iccid]
	if n == nil {
		n = &[laneCount]int{}
		rows, err := tx.Query(`SELECT lane FROM message INDEXED BY message_prefers WHERE sim = ? AND prefer_until > 0 LIMIT 200`, iccid)
		if err != nil {
			return false, fmt.Errorf("count what waits for the SIM: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var lane int
			if err := rows.Scan(&lane); err != nil {
				return false, err
			}
			if lane >= 0 && lane < laneCount {
				n[lane]++
			}
		}
		if err := rows.Err(); err != nil {
			return false, err
		}
		q[iccid] = n
	}
	ahead := 0
	for lane := range policies[c].lane + 1 {
		ahead += n[lane]
	}
	if ahead >= most {
		return false, nil
	}
	n[policies[c].lane]++
	return true, nil
}

// places works out, before the transaction, where each message belongs and which SIM
// its recipient knows.
func (s *Store) places(ctx context.Context, d *draft, out []outgoing) error {
	var known map[string]string
	if d.SIM == "" && d.state == Queued && patience[d.Class] > 0 && len(out) > 0 {
		numbers := make([]string, len(out))
		for i := range out {
			numbers[i] = out[i].To
		}
		var err error
		if known, err = s.known(ctx, s.db.Read(), numbers); ctx.Err() != nil {
			return err
		} else if err != nil { // it is a convenience: nothing is refused for it
			s.log.Error("it could not be seen which SIMs the recipients know: check the disk, and restore a backup if there is more", "error", err)
		}
	}
	for i := range out {
		o := &out[i]
		o.place = s.placeOf(o.To, d.Class, d.KeyID)
		o.knows = known[o.To]
	}
	return nil
}

// seat gives a message that is about to be stored its bucket and, maybe, a SIM that
// it prefers until the time of the steady clock that it returns.
func (s *Store) seat(tx *sqlite.Tx, d *draft, o *outgoing) (until int64, err error) {
	if o.place.on.gen != s.routes.now.Load().gen { // the routes were changed meanwhile
		o.place = s.placeOf(o.To, d.Class, d.KeyID)
	}
	if o.Bucket, err = s.bucketIn(tx, o.place.spot); err != nil {
		return 0, err
	}
	o.SIM, o.Preferred = d.SIM, false
	if o.knows == "" || !o.place.on.allows(o.place.route, o.knows) {
		return 0, nil
	}
	if ok, err := d.preferred.joins(tx, o.knows, d.Class); err != nil || !ok {
		return 0, err
	}
	o.SIM, o.Preferred = o.knows, true
	return d.steady + patience[d.Class].Milliseconds(), nil
}

// stick has a scheduled message that has become due prefer the SIM that its
// recipient knows.
func (s *Store) stick(tx *sqlite.Tx, r *record, n instant) error {
	if r.wish != "" || r.SIM != "" || patience[r.Class] == 0 || r.Attempts > 0 {
		return nil
	}
	known, err := s.known(context.Background(), txAsker{tx}, []string{r.To})
	if err != nil {
		return err
	}
	sim := known[r.To]
	if sim == "" {
		return nil
	}
	if p := s.placeOf(r.To, r.Class, r.keyID); !p.on.allows(p.route, sim) {
		return nil
	}
	if ok, err := (queues{}).joins(tx, sim, r.Class); err != nil || !ok {
		return err
	}
	r.SIM, r.Preferred, r.preferUntil = sim, true, n.steady+patience[r.Class].Milliseconds()
	return nil
}

// letGo ends the preference of a SIM.
func (r *record) letGo() { r.SIM, r.Preferred, r.preferUntil = r.wish, false, 0 }

// LetGo ends the preference of a SIM that cannot send for now: what waits for it by
// preference only may leave on any other of its route at once. n is how many did.
func (s *Store) LetGo(ctx context.Context, iccid string) (n int, err error) {
	n, err = s.letGoAll(ctx, `SELECT seq FROM message INDEXED BY message_prefers WHERE sim = ?1 AND prefer_until > 0 LIMIT ?2`, iccid)
	if err != nil {
		return n, fmt.Errorf("let go what prefers the SIM: %w", err)
	}
	return n, nil
}

// Refusal is what a SIM cannot send for now.
type Refusal struct {
	Lanes     Lanes          // nothing of these
	Strangers Lanes          // of these nothing to whom its full limits do not count already
	Longest   [laneCount]int // nothing of more segments
}

// None says that it refuses nothing.
func (r Refusal) None() bool {
	return r.Lanes == 0 && r.Strangers == 0 && slices.Min(r.Longest[:]) >= limitSegs
}

// refusableSQL lists what prefers a SIM: few, see joins.
const refusableSQL = `SELECT seq, lane, segments, recipient FROM message INDEXED BY message_prefers WHERE sim = ? AND prefer_until > 0 LIMIT 1000`

// LetGoOf is LetGo for what the SIM refuses.
func (s *Store) LetGoOf(ctx context.Context, iccid string, r Refusal) (n int, err error) {
	if r.Lanes == AllLanes {
		return s.LetGo(ctx, iccid)
	}
	seqs, err := s.refuses(ctx, iccid, r)
	if err == nil && len(seqs) > 0 {
		err = s.letGoThese(ctx, seqs)
	}
	if err != nil {
		return 0, fmt.Errorf("let go what the SIM that it prefers refuses: %w", err)
	}
	return len(seqs), nil
}

// refuses lists what prefers a SIM that refuses it.
func (s *Store) refuses(ctx context.Context, iccid string, r Refusal) (seqs []int64, err error) {
	rows, err := s.db.Read().QueryContext(ctx, refusableSQL, iccid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var strangers [laneCount]map[string][]int64
	for rows.Next() {
		var seq int64
		var lane, segments int
		var to string
		switch torn, err := Scanned(rows, &seq, &lane, &segments, &to); {
		case err != nil:
			return nil, err
		case torn, lane < 0, lane >= laneCount: // whoever claims it ends it
		case r.Lanes.Has(lane), segments > r.Longest[lane]:
			seqs = append(seqs, seq)
		case r.Strangers.Has(lane):
			if strangers[lane] == nil {
				strangers[lane] = map[string][]int64{}
			}
			strangers[lane][to] = append(strangers[lane][to], seq)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	_ = rows.Close()
	for lane, those := range strangers {
		for to, list := range those {
			known, err := s.countsIn(ctx, iccid, lane, to)
			if err != nil {
				return nil, err
			}
			if !known {
				seqs = append(seqs, list...)
			}
		}
	}
	return seqs, nil
}

// countsIn says that somebody is counted already by those of a SIM's limits that have
// room for nobody new.
func (s *Store) countsIn(ctx context.Context, iccid string, lane int, to string) (bool, error) {
	known, full := true, [windows]bool{}
	var starts [windows][2]string
	who := s.usage.who(to)
	if _, err := s.loaded(ctx, iccid, func(m *meter, n instant) {
		full, _ = m.crowded(lane, n)
		for w := range windows {
			switch {
			case !full[w]:
			case w < daily:
				known = known && m.slides[w].knows(who, spans[w], n.steady)
			default:
				starts[w] = m.knowing(w, lane, n)
			}
		}
	}); err != nil {
		return false, err
	}
	for w := daily; known && w < windows; w++ {
		if !full[w] {
			continue
		}
		err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM usage_recipient WHERE iccid = ?1 AND window = ?2 AND start IN (?3, ?4) AND recipient = ?5)`,
			Contract(iccid), string(Windows[w]), starts[w][0], starts[w][1], to).Scan(&known)
		if err != nil {
			return false, err
		}
	}
	return known, nil
}

// preferredSQL lists the SIMs that something prefers.
const preferredSQL = `SELECT DISTINCT sim FROM message INDEXED BY message_prefers WHERE prefer_until > 0`

// Preferred are the SIMs that something waits for by preference only.
func (s *Store) Preferred(ctx context.Context) (list []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx, preferredSQL)
	if err != nil {
		return nil, fmt.Errorf("look which SIMs are preferred: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var sim string
		if err := rows.Scan(&sim); err != nil {
			return nil, fmt.Errorf("look which SIMs are preferred: %w", err)
		}
		list = append(list, sim)
	}
	return list, rows.Err()
}

// letGoAll ends the preference of what a query lists, in portions.
func (s *Store) letGoAll(ctx context.Context, query string, arg any) (n int, err error) {
	for {
		seqs, err := s.seqs(ctx, query, arg, letGoBatch)
		if err != nil || len(seqs) == 0 {
			return n, err
		}
		if err := s.letGoThese(ctx, seqs); err != nil {
			return n, err
		}
		if n += len(seqs); len(seqs) < letGoBatch {
			return n, nil
		}
	}
}

func (s *Store) letGoThese(ctx context.Context, seqs []int64) error {
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, sqlite.LaneOf(len(seqs)), func(tx *sqlite.Tx) error {
		tx.AfterCommit(s.readied)
		_, err := tx.Exec(`UPDATE message SET sim = wish, prefer_until = 0 WHERE prefer_until > 0 AND seq IN (SELECT value FROM json_each(?))`, string(list))
		return err
	})
}

// duePrefer lists those whose patience is over.
const duePrefer = `SELECT seq FROM message INDEXED BY message_prefer WHERE prefer_until > 0 AND prefer_until <= ?1 ORDER BY prefer_until LIMIT ?2`

// patient lets those go whose patience is over, and says when the next one's is.
func (s *Store) patient(ctx context.Context, n instant) (next time.Time, err error) {
	if _, err := s.letGoAll(ctx, duePrefer, n.steady); err != nil {
		return time.Time{}, fmt.Errorf("let go what has waited for its SIM: %w", err)
	}
	var until int64
	err = s.db.Read().QueryRowContext(ctx, `SELECT coalesce((SELECT prefer_until FROM message INDEXED BY message_prefer
		WHERE prefer_until > 0 ORDER BY prefer_until LIMIT 1), 0)`).Scan(&until)
	if err != nil || until == 0 {
		return time.Time{}, err
	}
	return n.day(until), nil
}

// unstick lets those go that prefer a SIM which their route does not allow, or that
// somebody has switched off or paused.
func (s *Store) unstick(tx *sqlite.Tx) error {
	rows, err := tx.Query(`SELECT seq, sim, recipient, class, key_id, coalesce((SELECT enabled = 1 AND paused = 0 FROM sim WHERE iccid = message.sim), 0)
		FROM message INDEXED BY message_prefer WHERE prefer_until > 0`)
	if err != nil {
		return fmt.Errorf("look what prefers a SIM: %w", err)
	}
	defer rows.Close()
	var stray []int64
	for rows.Next() {
		var seq int64
		var sim, to, key string
		var class Class
		var enabled bool
		torn, err := Scanned(rows, &seq, &sim, &to, &class, &key, &enabled)
		if err != nil {
			return fmt.Errorf("look what prefers a SIM: %w", err)
		}
		if p := s.placeOf(to, class, key); torn || !enabled || !p.on.allows(p.route, sim) {
			stray = append(stray, seq)
		}
	}
	if err := rows.Err(); err != nil || len(stray) == 0 {
		return err
	}
	_ = rows.Close()
	for _, seq := range stray {
		if _, err := tx.Exec(`UPDATE message SET sim = wish, prefer_until = 0 WHERE seq = ? AND prefer_until > 0`, seq); err != nil {
			return fmt.Errorf("let go what prefers the SIM: %w", err)
		}
	}
	tx.AfterCommit(s.readied)
	return nil
}
