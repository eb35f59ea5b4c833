package mes

import "testing"

func TestCheckCount(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"0": true, "18446744073709551615": true, "1e20": true, "12.0": true, "-1": false, "0.5": false, "1e-7": false} {
		v, err := Number(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckCount(v); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if CheckCount(Value{}) != nil || CheckCount(String("5")) == nil || CheckCount(Bool(true)) == nil {
		t.Error("null, text or a boolean is judged wrongly")
	}
	for _, r := range Roles() {
		if !r.IsKnown() || r.IsCounter() != (r != RoleMeasurement && r != RoleState) {
			t.Errorf("%s: known %v, counter %v", r, r.IsKnown(), r.IsCounter())
		}
	}
	if Role("count").IsKnown() {
		t.Error("any text is a role")
	}
}
