package link

import "github.com/gopcua/opcua/ua"

// maxArray is how many elements an array may have that the library decodes. At a longer
// one it ends the connection, so that none of the other nodes comes either: its own
// bound, 65,535, is near to what servers have. Messages are bounded besides.
const maxArray = 1 << 20

// The library has this bound as a variable of the package, which must not change while
// anything is decoded.
func init() { ua.MaxVariantArrayLength = maxArray }
