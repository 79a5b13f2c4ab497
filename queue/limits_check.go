package queue

// Check errs with *Invalid, as SetLimits would before it looks at the SIM: for who
// changes more than its limits and wants to change all of it or nothing.
func (p LimitsPatch) Check() error { return p.check() }
