package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// backlogSample are the messages of a group, from its front, that are looked
	// at one by one: a smaller group is counted exactly.
	backlogSample = 500
	// backlogGroups are told apart, at most.
	backlogGroups = 1000
	// backlogFresh is how long a count of a large group is used again, scaled by
	// what has come and gone since.
	backlogFresh = 15 * time.Second
	// backlogSlots are the portions into which what is scheduled beyond the sample
	// is thought to come.
	backlogSlots = 24
)

// Backlog is what waits to be sent, in portions of messages that are alike.
type Backlog struct {
	Now     time.Time // the time of day
	Firm    bool      // which may end a day or a month of the limits
	Waiting []Waiting
}

// Waiting are messages that are alike. Times are from Backlog.Now on.
type Waiting struct {
	Class    Class
	Bucket   int64
	SIM      string        // that they are pinned or bound to; "" none
	Prefer   time.Duration // > 0: SIM is only preferred, so long
	Messages int
	Segments int // of all of them that are still to be sent
	First    int64
	Last     int64         // their place in the order of acceptance
	From     time.Duration // when they may go at the earliest
	// When the validity of the first and of the last ends; 0: not by this clock.
	Expires, LastExpires time.Duration
}

// group is where a message waits, as message_ready has it.
type group struct {
	sim    string
	bucket int64
	lane   int
}

// counts remembers the size of large groups.
type counts struct {
	mu    sync.Mutex
	known map[any]counted
}

type counted struct {
	at       time.Time
	n, tally int
}

const (
	backlogReady = ` FROM message INDEXED BY message_ready WHERE state IN ('queued','sending') AND claimed_by = '' AND not_before = 0`
	// Columns: how much of them is still to be sent, and what tells their order.
	// The first group of all, and the next one in the same bucket, of the same SIM,
	// of the next SIM. (SQLite reads all of a group to find what is above it when the
	// columns are compared as one row value.)
	backlogFirst  = `SELECT sim, bucket, lane` + backlogReady + ` ORDER BY sim, bucket, lane LIMIT 1`
	backlogLane   = `SELECT sim, bucket, lane` + backlogReady + ` AND sim = ? AND bucket = ? AND lane > ? ORDER BY lane LIMIT 1`
	backlogBucket = `SELECT sim, bucket, lane` + backlogReady + ` AND sim = ? AND bucket > ? ORDER BY bucket, lane LIMIT 1`
	backlogSIM    = `SELECT sim, bucket, lane` + backlogReady + ` AND sim > ? ORDER BY sim, bucket, lane LIMIT 1`
	backlogFront  = `SELECT count(*), coalesce(sum(max(segments - next + 1, 1)), 0), coalesce(min(seq), 0), coalesce(max(seq), 0), coalesce(min(expires_at), 0), coalesce(max(expires_at), 0)
		FROM (SELECT seq, segments, next, expires_at` + backlogReady + ` AND sim = ? AND bucket = ? AND lane = ? ORDER BY seq LIMIT ?)`
	backlogBack = `SELECT count(*), coalesce(sum(max(segments - next + 1, 1)), 0), coalesce(min(seq), 0), coalesce(max(seq), 0), coalesce(min(expires_at), 0), coalesce(max(expires_at), 0)
		FROM (SELECT seq, segments, next, expires_at` + backlogReady + ` AND sim = ? AND bucket = ? AND lane = ? ORDER BY seq DESC LIMIT ?)`
	backlogCount  = `SELECT count(*)` + backlogReady + ` AND sim = ? AND bucket = ? AND lane = ?`
	backlogPrefer = `SELECT sim, bucket, lane, count(*), sum(max(segments - next + 1, 1)), min(seq), max(seq), min(expires_at), max(expires_at), max(prefer_until)
		FROM message INDEXED BY message_prefer WHERE prefer_until > 0 AND state IN ('queued','sending') AND claimed_by = '' AND not_before = 0 GROUP BY sim, bucket, lane`
	backlogInHand = `SELECT claimed_by, bucket, lane, segments - next, seq, expires_at FROM message INDEXED BY message_claim WHERE claimed_by <> ''`
	backlogRetry  = `SELECT not_before, sim, bucket, lane, max(segments - next + 1, 1), seq, expires_at
		FROM message INDEXED BY message_backoff WHERE not_before > 0 AND state IN ('queued','sending') ORDER BY not_before LIMIT ?`
	backlogDue = `SELECT not_before, sim, bucket, lane, max(segments - next + 1, 1), seq, expires_at
		FROM message INDEXED BY message_due WHERE not_before > 0 AND state = 'scheduled' ORDER BY not_before LIMIT ?`
	backlogRetries = `SELECT count(*) FROM message INDEXED BY message_backoff WHERE not_before > 0 AND state IN ('queued','sending')`
	backlogDueBy   = `SELECT count(*) FROM message INDEXED BY message_due WHERE not_before > 0 AND state = 'scheduled' AND not_before <= ?`
	backlogDueLast = `SELECT coalesce(max(not_before), 0) FROM message INDEXED BY message_due WHERE not_before > 0 AND state = 'scheduled'`
)

// laneClasses are the classes by their lane.
var laneClasses = [laneCount]Class{OTP, Alert, Normal, Bulk}

// Backlog tells what waits to be sent. Its cost does not grow with the queue: of
// a large group the front and the back are looked at, and its size is what the
// counters say, or was counted a moment ago.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	n := s.instant()
	b := Backlog{Now: n.now, Firm: n.dated}
	depth, err := s.Depth(ctx)
	if err != nil {
		return Backlog{}, err
	}
	r := backlogReader{Store: s, ctx: ctx, n: n, out: &b}
	for lane, class := range laneClasses {
		r.open[lane] = depth[Queued][class] + depth[Sending][class]
		r.scheduled[lane] = depth[Scheduled][class]
	}
	for _, part := range []func() error{r.inHand, r.retries, r.ready, r.due} {
		if err := part(); err != nil {
			return Backlog{}, fmt.Errorf("look what waits: %w", err)
		}
	}
	return b, nil
}

// backlogReader gathers one Backlog.
type backlogReader struct {
	*Store
	ctx             context.Context
	n               instant
	out             *Backlog
	open, scheduled [laneCount]int // messages by the counters, less what has been found
}

// expiry is a time of the schema as from now; 0: it does not end by this clock.
func (r *backlogReader) expiry(at int64) time.Duration {
	if !r.n.firm || at <= 0 {
		return 0
	}
	return max(time.Duration(at-ms(r.n.now))*time.Millisecond, 1)
}

// inHand: what is left of the long messages that lines have claimed.
func (r *backlogReader) inHand() error {
	rows, err := r.db.Read().QueryContext(r.ctx, backlogInHand)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var g group
		var left int
		var seq, expires int64
		torn, err := Scanned(rows, &g.sim, &g.bucket, &g.lane, &left, &seq, &expires)
		if err != nil {
			return err
		}
		if torn || g.lane < 0 || g.lane >= laneCount {
			continue
		}
		r.open[g.lane]--
		if left > 0 {
			r.out.Waiting = append(r.out.Waiting, Waiting{Class: laneClasses[g.lane], Bucket: g.bucket, SIM: g.sim, Messages: 1, Segments: left,
				First: seq, Last: seq, Expires: r.expiry(expires), LastExpires: r.expiry(expires)})
		}
	}
	return rows.Err()
}

// ready: what a line may claim now.
func (r *backlogReader) ready() error {
	preferring, err := r.preferring()
	if err != nil {
		return err
	}
	var large []int // places in Waiting
	var of []group
	var at group
	found, err := r.one(backlogFirst, nil, &at.sim, &at.bucket, &at.lane)
	for n := 0; found && err == nil && n < backlogGroups; found, err = r.after(&at) {
		n++
		if at.lane < 0 || at.lane >= laneCount {
			continue
		}
		w := Waiting{Class: laneClasses[at.lane], Bucket: at.bucket, SIM: at.sim}
		var first, last, low, high int64
		front := []any{at.sim, at.bucket, at.lane, backlogSample}
		if _, err := r.one(backlogFront, front, &w.Messages, &w.Segments, &w.First, &w.Last, &first, &last); err != nil {
			return err
		}
		if w.Messages == backlogSample {
			var n, segments int
			if _, err := r.one(backlogBack, front, &n, &segments, &low, &w.Last, &high, &last); err != nil {
				return err
			}
			w.Messages, w.Segments = w.Messages+n, w.Segments+segments // of which the mean is known
			large, of = append(large, len(r.out.Waiting)), append(of, at)
		} else {
			r.open[at.lane] -= w.Messages
		}
		w.Expires, w.LastExpires = r.expiry(first), r.expiry(last)
		if p := preferring[at]; p != nil && w.Messages < backlogSample {
			w.Messages, w.Segments = w.Messages-p.Messages, w.Segments-p.Segments
			r.out.Waiting = append(r.out.Waiting, *p)
		}
		if w.Messages > 0 {
			r.out.Waiting = append(r.out.Waiting, w)
		}
	}
	if err != nil {
		return err
	}
	return r.sizes(large, of)
}

// after steps to the next group; false: there is none.
func (r *backlogReader) after(at *group) (found bool, err error) {
	for _, step := range []struct {
		query string
		args  []any
	}{{backlogLane, []any{at.sim, at.bucket, at.lane}}, {backlogBucket, []any{at.sim, at.bucket}}, {backlogSIM, []any{at.sim}}} {
		if found, err = r.one(step.query, step.args, &at.sim, &at.bucket, &at.lane); found || err != nil {
			break
		}
	}
	return found, err
}

// preferring: what waits for a SIM for a while only.
func (r *backlogReader) preferring() (map[group]*Waiting, error) {
	rows, err := r.db.Read().QueryContext(r.ctx, backlogPrefer)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	found := map[group]*Waiting{}
	for rows.Next() {
		var g group
		var w Waiting
		var first, last, until int64
		torn, err := Scanned(rows, &g.sim, &g.bucket, &g.lane, &w.Messages, &w.Segments, &w.First, &w.Last, &first, &last, &until)
		if err != nil {
			return nil, err
		}
		if torn || g.lane < 0 || g.lane >= laneCount {
			continue
		}
		w.Class, w.Bucket, w.SIM = laneClasses[g.lane], g.bucket, g.sim
		w.Expires, w.LastExpires = r.expiry(first), r.expiry(last)
		w.Prefer = max(time.Duration(until-r.n.steady)*time.Millisecond, 1)
		found[g] = &w
	}
	return found, rows.Err()
}

// sizes gives the large groups their sizes: one alone in its lane has what the
// counters say and no other has.
func (r *backlogReader) sizes(large []int, of []group) error {
	for i, place := range large {
		w := &r.out.Waiting[place]
		left, n := r.open[of[i].lane], 0
		alone := !slices.ContainsFunc(of, func(g group) bool { return g != of[i] && g.lane == of[i].lane })
		if alone {
			n = left
		} else {
			var err error
			if n, err = r.count(of[i], left, backlogCount, of[i].sim, of[i].bucket, of[i].lane); err != nil {
				return err
			}
		}
		n = max(n, backlogSample)
		w.Segments = int(float64(w.Segments) / float64(w.Messages) * float64(n))
		w.Messages = n
	}
	return nil
}

// count is how many rows a query counts, remembered for a while; tally is what a
// counter says that changes as they do.
func (r *backlogReader) count(key any, tally int, query string, args ...any) (n int, err error) {
	c := &r.counts
	c.mu.Lock()
	known, ok := c.known[key]
	c.mu.Unlock()
	if ok && time.Since(known.at) < backlogFresh && known.tally > 0 {
		return int(float64(known.n) / float64(known.tally) * float64(tally)), nil
	}
	if _, err := r.one(query, args, &n); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) > 4*backlogGroups {
		c.known = map[any]counted{}
	}
	c.known[key] = counted{time.Now(), n, tally}
	return n, nil
}

// retries: what waits out a back-off.
func (r *backlogReader) retries() error {
	n := 0
	list, err := r.timed(backlogRetry, r.n.steady)
	if err != nil {
		return err
	}
	for _, w := range list {
		n += w.Messages
		r.open[Lane(w.Class)] -= w.Messages
	}
	r.out.Waiting = append(r.out.Waiting, list...)
	if n < backlogSample {
		return nil
	}
	all := 0
	for _, left := range r.open {
		all += left
	}
	more, err := r.count("retries", all, backlogRetries)
	if err != nil || more <= n {
		return err
	}
	// The others are like these, and come as the last of them do.
	for _, w := range grown(list, n, more-n) {
		w.From = list[len(list)-1].From
		r.open[Lane(w.Class)] -= w.Messages
		r.out.Waiting = append(r.out.Waiting, w)
	}
	return nil
}

// due: what is scheduled.
func (r *backlogReader) due() error {
	if !r.n.firm {
		return nil
	}
	list, err := r.timed(backlogDue, ms(r.n.now))
	if err != nil {
		return err
	}
	n, all := 0, 0
	for _, w := range list {
		n += w.Messages
	}
	r.out.Waiting = append(r.out.Waiting, list...)
	for _, left := range r.scheduled {
		all += left
	}
	if n < backlogSample || all <= n {
		return nil
	}
	var last int64
	if _, err := r.one(backlogDueLast, nil, &last); err != nil {
		return err
	}
	from := list[len(list)-1].From
	with, err := r.count("due", all, backlogDueBy, ms(r.n.now.Add(from)))
	if err != nil {
		return err
	}
	r.out.Waiting = append(r.out.Waiting, grown(list[len(list)-1:], list[len(list)-1].Messages, max(min(with, all)-n, 0))...)
	// The rest comes evenly, until the last of all.
	rest, end := all-max(with, n), time.Duration(last-ms(r.n.now))*time.Millisecond
	for i := range backlogSlots {
		part := rest*(i+1)/backlogSlots - rest*i/backlogSlots
		for _, w := range grown(list, n, part) {
			w.From = from + (end-from)*time.Duration(i+1)/backlogSlots
			w.Expires, w.LastExpires = 0, 0
			r.out.Waiting = append(r.out.Waiting, w)
		}
	}
	return nil
}

// grown is so many more messages like those of list, which has n.
func grown(list []Waiting, n, more int) (out []Waiting) {
	if n <= 0 || more <= 0 {
		return nil
	}
	done := 0
	for i, w := range list {
		part := more
		if i < len(list)-1 {
			part = int(float64(more) * float64(w.Messages) / float64(n))
		} else {
			part -= done
		}
		if part <= 0 {
			continue
		}
		done += part
		w.Segments = max(int(float64(w.Segments)/float64(w.Messages)*float64(part)), part)
		w.Messages = part
		out = append(out, w)
	}
	return out
}

// timed reads what waits for a time, together what comes at nearly the same.
func (r *backlogReader) timed(query string, now int64) ([]Waiting, error) {
	rows, err := r.db.Read().QueryContext(r.ctx, query, backlogSample)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	type key struct {
		group
		slot time.Duration
	}
	var list []Waiting
	places := map[key]int{}
	for rows.Next() {
		var k key
		var when, seq, expires int64
		var segments int
		torn, err := Scanned(rows, &when, &k.sim, &k.bucket, &k.lane, &segments, &seq, &expires)
		if err != nil {
			return nil, err
		}
		if torn || k.lane < 0 || k.lane >= laneCount {
			continue
		}
		from := max(time.Duration(when-now)*time.Millisecond, 0)
		width := time.Second
		for width < from/64 {
			width *= 2
		}
		k.slot = from.Truncate(width)
		i, ok := places[k]
		if !ok {
			i = len(list)
			places[k] = i
			list = append(list, Waiting{Class: laneClasses[k.lane], Bucket: k.bucket, SIM: k.sim, From: from, First: seq, Last: seq, Expires: r.expiry(expires)})
		}
		w := &list[i]
		w.Messages, w.Segments = w.Messages+1, w.Segments+segments
		w.First, w.Last = min(w.First, seq), max(w.Last, seq)
		w.LastExpires = max(w.LastExpires, r.expiry(expires))
	}
	return list, rows.Err()
}

// one reads a single row; false: there is none.
func (r *backlogReader) one(query string, args []any, dest ...any) (found bool, err error) {
	rows, err := r.db.Read().QueryContext(r.ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		return false, rows.Err()
	}
	_, err = Scanned(rows, dest...)
	return true, err
}
