import Ringcast from "./ringcast.js";

export default Ringcast;
export declare const RingcastError: typeof Ringcast.Error;
export type RingcastError = InstanceType<typeof Ringcast.Error>;
