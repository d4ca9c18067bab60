import shim from "./index.js";

export const { attach } = shim;
