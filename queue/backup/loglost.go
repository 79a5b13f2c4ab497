package backup

import (
	"strings"
	"time"
)

// DamageLogLost: the database is whole, but its log of the last moments was gone
// after an end that was not in order. What had been accepted then may be missing,
// and what is not final, which is held, may have been sent.
const DamageLogLost = "log_lost"

// LogLost raises the alarm DamageLogLost, until it is acknowledged. One of more than
// the last moments that nobody has acknowledged stays, and has this reason too.
func (f Folder) LogLost(reason string, at time.Time) error {
	was, err := f.Alarm()
	if err != nil || was == nil || was.What == DamageLogLost {
		return f.raise(&Alarm{What: DamageLogLost, At: at.UTC(), Reason: reason})
	}
	if !strings.Contains(was.Reason, reason) { // it may be told again
		was.Reason += "; then, on " + at.UTC().Format(time.RFC3339) + ", " + reason
	}
	return f.raise(was)
}
