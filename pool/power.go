package pool

// HasPower says whether the power of a modem's socket can be switched, by
// PowerCycle. False too when there is no modem of this ID.
func (p *Pool) HasPower(id string) bool {
	l := p.lineOf(id)
	return l != nil && l.port.PowerCycle != nil
}
