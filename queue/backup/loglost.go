package backup

import "time"

// DamageLogLost: the database is whole, but its log of the last moments was gone
// after an end that was not in order. What had been accepted then may be missing,
// and what is not final, which is held, may have been sent.
const DamageLogLost = "log_lost"

// LogLost raises the alarm DamageLogLost, until it is acknowledged.
func (f Folder) LogLost(reason string, at time.Time) error {
	return f.raise(&Alarm{What: DamageLogLost, At: at.UTC(), Reason: reason})
}
