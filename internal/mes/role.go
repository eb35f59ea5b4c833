package mes

// Role is what a signal means for a work unit.
type Role string

// The roles that the configuration of a node may name. A counter only grows, but for its
// rollover or a restart; what it grows by are pieces.
const (
	RoleMeasurement Role = "measurement"
	RoleState       Role = "state"
	RoleTotalCount  Role = "total_count"
	RoleGoodCount   Role = "good_count"
	RoleScrapCount  Role = "scrap_count"
)

// Roles lists every role.
func Roles() []Role {
	return []Role{RoleMeasurement, RoleState, RoleTotalCount, RoleGoodCount, RoleScrapCount}
}

// IsKnown tells whether r is one of the roles.
func (r Role) IsKnown() bool {
	switch r {
	case RoleMeasurement, RoleState, RoleTotalCount, RoleGoodCount, RoleScrapCount:
		return true
	}
	return false
}

// IsCounter tells whether the signal counts pieces.
func (r Role) IsCounter() bool {
	switch r {
	case RoleTotalCount, RoleGoodCount, RoleScrapCount:
		return true
	}
	return false
}

// CheckCount tells what is wrong with the value of a counter: it is a whole number that is
// not negative. Null is no value yet.
func CheckCount(v Value) error {
	if v.IsNull() {
		return nil
	}
	if v.kind == KindNumber {
		if d := decimalOf(v.text); d.mantissa.Sign() >= 0 && d.isWhole() {
			return nil
		}
	}
	return Errorf(CodeInvalid, "a counter must be a whole number from 0 on, not %s", abbreviate(v.text))
}
