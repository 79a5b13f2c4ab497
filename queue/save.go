package queue

import (
	"errors"
	"fmt"
	"strings"

	"recado/queue/sqlite"
)

// The columns of a message that some index has. SQLite writes an index anew when an
// UPDATE names one of its columns, whether or not the value is another: what is as
// it was loaded is not named, or each step of a message would cost a dozen pages.
const columnGroups = 6

var groupColumns = [columnGroups]string{
	"state = ?, reason = ?, decide_at = ?",
	"sim = ?, bucket = ?, prefer_until = ?",
	"claimed_by = ?, not_before = ?, avoid_sim = ?, avoid_until = ?",
	"expires_at = ?",
	"sent_at = ?",
	"ended_at = ?",
}

// columns are a group's values; as many as its widest has.
type columns [4]any

func (r *record) indexed() [columnGroups]columns {
	return [columnGroups]columns{
		{string(r.State), r.Reason, r.decideAt},
		{r.SIM, r.Bucket, r.preferUntil},
		{r.claimedBy, r.notBefore, r.avoidSIM, r.avoidUntil},
		{ms(r.ExpiresAt)},
		{ms(r.SentAt)},
		{r.endedAt},
	}
}

// saveSQL is by the groups that changed, a bit each.
var saveSQL = func() (list [1 << columnGroups]string) {
	for set := range list {
		var s strings.Builder
		s.WriteString("UPDATE message SET ")
		for g, names := range groupColumns {
			if set&(1<<g) != 0 {
				s.WriteString(names + ", ")
			}
		}
		s.WriteString(`next = ?, attempts = ?, ambiguous = ?, edition = ?, ambiguous_before = ?, failures = ?, possible_duplicate = ?, hold = ?,
			delivered_at = ?, error_code = ?, error_class = ?, error_detail = ? WHERE seq = ? AND state = ?`)
		list[set] = s.String()
	}
	return list
}()

// save writes what changed, guarded by the state it was in, and with a change
// of state its event, its count and its hint.
func (s *Store) save(tx *sqlite.Tx, r *record) error {
	for i, changed := range r.changed {
		if !changed {
			continue
		}
		g := r.Segments[i]
		if _, err := tx.Exec(`UPDATE segment SET state = ?, mr = ?, sent_at = ?, report_at = ?, report_status = ? WHERE message = ? AND n = ?`,
			string(g.State), g.MR, ms(g.SentAt), ms(g.ReportAt), g.ReportStatus, r.Seq, g.N); err != nil {
			return fmt.Errorf("save segment: %w", err)
		}
		r.changed[i] = false
	}
	r.underHold()
	r.unsendable()
	s.ended(r)
	if r.State.final() {
		r.claimedBy, r.notBefore, r.decideAt = "", 0, 0
		r.avoidSIM, r.avoidUntil = "", 0
		if r.Preferred {
			r.letGo()
		}
	}
	if err := s.rebucket(tx, r); err != nil {
		return err
	}
	if err := r.write(tx); err != nil {
		return err
	}
	if err := s.canaryStep(tx, r); err != nil {
		return err
	}
	switch {
	case (r.State == Queued || r.State == Sending) && r.claimedBy == "" && r.notBefore == 0:
		s.returned(r.Seq)
		tx.AfterCommit(s.cameBack)
	default:
		tx.AfterCommit(s.changed)
	}
	if r.State == r.was {
		return nil
	}
	was := r.was
	r.was = r.State
	return s.entered(tx, r, was)
}

// write is save's UPDATE. All of a torn row is written: what could not be read is
// put right with it.
func (r *record) write(tx *sqlite.Tx) error {
	set, args, now := 0, make([]any, 0, 32), r.indexed()
	for g := range now {
		if now[g] == r.kept[g] && !r.torn {
			continue
		}
		set |= 1 << g
		for i := range strings.Count(groupColumns[g], "?") {
			args = append(args, now[g][i])
		}
	}
	var e Error
	if r.Error != nil {
		e = *r.Error
	}
	args = append(args, r.next(), r.Attempts, r.lost, r.edition, r.lostBefore, r.Failures, r.PossibleDuplicate, r.hold,
		ms(r.DeliveredAt), e.Code, e.Class, e.Detail, r.Seq, string(r.was))
	res, err := tx.Exec(saveSQL[set], args...)
	if err != nil {
		return fmt.Errorf("save message: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("save message: it is no longer %s", r.was), err)
	}
	r.kept = now
	return nil
}
