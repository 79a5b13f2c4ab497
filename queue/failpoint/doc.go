// Package failpoint names places in the program at which a proof stops it, holds
// it up or has it fail. Without the build tag failpoints its functions are
// empty and cost nothing; with it RECADO_FAILPOINTS says what happens where:
//
//	RECADO_FAILPOINTS="gate.committed=kill@3,dispatch.round=delay:40s@10,outcome.before=error"
//
// kill sends SIGKILL to the process itself, error has Err return ErrInjected,
// delay:D waits. @N acts at the Nth hit of that name and at no other; without
// it at every one.
package failpoint

// The places. A name with .before lies inside the transaction, on the writer's
// goroutine, when all its statements have run; one with .committed lies after
// the commit, before anybody was told.
const (
	GateBefore       = "gate.before"
	GateCommitted    = "gate.committed"
	CtrlZBefore      = "ctrlz.before" // the PDU and its Ctrl-Z are about to be written to the port
	CtrlZAfter       = "ctrlz.after"
	OutcomeBefore    = "outcome.before"
	OutcomeCommitted = "outcome.committed"
	InboundBefore    = "inbound.before"
	InboundCommitted = "inbound.committed"
	CMGDBefore       = "cmgd.before" // an AT+CMGD is about to be written to the port
	CMGDAfter        = "cmgd.after"
	SubmitBefore     = "submit.before"
	SubmitCommitted  = "submit.committed"
	ReportBefore     = "report.before"
	ReportCommitted  = "report.committed"
	MigrateMiddle    = "migrate.middle" // one migration is done, another to come
	BackupRename     = "backup.before_rename"
	OutboxMark       = "outbox.before_mark"
	DispatchRound    = "dispatch.round" // of the pool's dispatcher
	TimeRound        = "time.round"     // of what is done when it falls due
)
