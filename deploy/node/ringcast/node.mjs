import Ringcast from "./node.cjs";

export default Ringcast;
export const RingcastError = Ringcast.Error;
